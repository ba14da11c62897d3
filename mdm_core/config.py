"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path


def located(path: str | Path) -> Path:
    """`path` with ~ as the home folder; one that begins with an unknown ~name stays as it is."""
    return Path(os.path.expanduser(path))
