"""Files of a run that people and programs read while it goes on: whole at every moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where a new file is written, beside `path`, whose place it takes once it is whole."""
    aside = path.with_name(f".{path.name}.tmp")
    yield aside
    os.replace(aside, path)
