"""What is asked of the commands atlas build and atlas look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.options import Settings, path, whole, word

ATLASES = ("emoji", "world")


@dataclass(frozen=True, kw_only=True)
class Build(Settings):
    atlas: str = word("emoji", ATLASES, "which atlas to build", place=True)
    npm: Path = path(about="folder that holds node_modules")
    out: Path | None = path(None, "folder to write into (default: assets/atlas or assets/atlas_256)")
    keep: Path | None = path(None, "folder to keep the drawings in (default: none kept)")


@dataclass(frozen=True, kw_only=True)
class Look(Settings):
    atlas: Path = path(about="folder of the atlas", place=True)
    out: Path = path(about="folder for the contact sheets")
    pairs: int = whole(60, "how many look-alikes to print", 0)
