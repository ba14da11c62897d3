"""The Learn task: its panel in the left column, beside the shared canvas."""

from typing import Any

from ui.token_grid import Static

WORDS = """<div class="cz-lesson"><p>A grey cell is masked: the model has not chosen its token yet. Blue is a token
chosen at this step, orange one that it changed its mind about. Press Generate, then drag the timeline.</p></div>"""


def panel(studio: Any) -> None:
    """The components of the Learn task."""
    Static(WORDS)
