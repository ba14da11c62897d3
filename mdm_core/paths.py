"""Paths: as people write them, and where the files that ship with Chisel lie."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent


def located(path: str | os.PathLike[str]) -> Path:
    """`path` with ~ as the home folder; one that begins with an unknown ~name stays as it is."""
    return Path(os.path.expanduser(path))


def shipped(name: str) -> Path:
    """The folder of that name: "model", "atlas", "atlas_256", "verifier", "verifier_256", "emojieval", ...

    In a clone it lies in `assets/` beside the packages, in a wheel inside mdm_core. pyproject.toml maps
    these folders; the others are for readers of the clone.
    """
    inside = HERE / "assets"
    return (inside if inside.is_dir() else HERE.parent / "assets") / name


SHIPPED = shipped("model")  # the weights that come with Chisel
