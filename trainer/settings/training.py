"""What is asked of the commands train and plan."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from pathlib import Path

from trainer.options import Settings, any_text, number, path, whole
from trainer.settings.shared import OnDevice

RECIPES = Path(__file__).parents[1] / "recipes"


def known() -> list[str]:
    """The names of all recipes: every module of trainer/recipes that holds one, found without importing any."""
    return sorted(file.stem for file in RECIPES.glob("*.py") if _holds_one(file))


def _holds_one(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    names = [n for line in body for n in getattr(line, "targets", [getattr(line, "target", None)])]
    return any(isinstance(name, ast.Name) and name.id == "RECIPE" for name in names)


FIELDS = "field=value, e.g. minutes=20 data.batch_size=256 lr=1e-3"


@dataclass(frozen=True, kw_only=True)
class Train(OnDevice):
    recipe: str = any_text(about=f"name of a file in trainer/recipes: {', '.join(known())}", place=True)
    overrides: tuple[str, ...] = any_text((), FIELDS, several=True, place=True)
    codec: Path | None = path(
        None, "model folder whose image tokenizer is used (default: that of --init, else the shipped one)"
    )
    out: Path | None = path(None, "run folder (default: runs/RECIPE)")
    init: Path | None = path(None, "start from the weights of this model folder")
    stop_after: float = number(math.inf, "seconds; the same command goes on later", endless=True)
    threads: int = whole(0, "CPU threads; 0: all", 0, 4096)


@dataclass(frozen=True, kw_only=True)
class Plan(Settings):
    recipe: str = any_text(about=f"name of a file in trainer/recipes: {', '.join(known())}", place=True)
    overrides: tuple[str, ...] = any_text((), FIELDS, several=True, place=True)
    gpus: int = whole(1, "how many", 1, 1 << 20)
