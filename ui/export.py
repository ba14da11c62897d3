"""What leaves the studio: pictures, animations and trajectories of a run."""

from typing import Any


def panel(studio: Any) -> None:
    """The components under the timeline."""
