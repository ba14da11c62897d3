"""What is asked of the commands evaluate, evaluate prompts, evaluate repaint and evaluate compare."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mdm_core.paths import SHIPPED
from mdm_core.settings import SampleConfig
from trainer import checks
from trainer.fields import assignment, value_of
from trainer.options import number, option, path, switch, whole, word
from trainer.settings.shared import Judged, OfModel, OfModelsWorld, OfWorld, WithSprites

TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
EVERY_TAG = (*TAGS, "two_counts", "many")  # the last two where a world has them
SPLITS = ("seen", "held_out")
QUICK = 24  # prompts a tag

KINDS = ("add", "remove", "replace", "recolour")  # what a repaint does to a scene
EXACT_KINDS = ("copy", "move")  # whole tokens, which must come out as they were
PER_KIND = 75


def override(text: str) -> tuple[str, object]:
    """A sampler setting of the command line, read as a recipe's fields are."""
    types = {f.name: f.type for f in dataclasses.fields(SampleConfig)}
    try:
        field, value = assignment(text)
        if field not in types:
            raise ValueError(f"unknown setting {field!r}; known are {', '.join(sorted(types))}")
        return field, value_of(field, types[field], value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _pair(part: Any, name: str) -> None:
    value = getattr(part, name)
    if not isinstance(value, tuple | list) or len(value) != 2 or not isinstance(value[0], str):
        raise ValueError(f"{name} must be pairs of a sampler setting and its value, got {checks.told(value)}")


@dataclass(frozen=True, kw_only=True)
class Scored(Judged):
    """Pictures are made and judged."""

    json: Path | None = path(None, "write the record here")
    batch: int | None = whole(None, "pictures at once (default: what the device holds)", 1, 1 << 16)
    set: tuple[tuple[str, object], ...] = option(
        (), "sampler settings", _pair, several=True, type=override, metavar="FIELD=VALUE"
    )


@dataclass(frozen=True, kw_only=True)
class Evaluate(Scored, WithSprites, OfModelsWorld, OfModel):
    tags: tuple[str, ...] | None = word(None, EVERY_TAG, ", ".join(EVERY_TAG), several=True, metavar="TAG")
    split: str = word("both", (*SPLITS, "both"), "prompts of what training combined, or of what it did not")
    limit: int | None = whole(None, "prompts a tag", 1)
    quick: bool = switch(f"{QUICK} prompts a tag: 5 minutes on two cores")
    tokens: Path | None = path(
        None, "keep the pictures' tokens here (.safetensors), and go on from what is there"
    )
    minutes: float | None = number(None, "make pictures for so long, a few of each tag in turn", above=True)
    prompts: Path | None = path(None, "another prompts.jsonl")


@dataclass(frozen=True, kw_only=True)
class Prompts(OfWorld):
    objects: int | None = whole(None, "the first N objects of the atlas", 2)
    out: Path = path(Path("assets/emojieval"), "folder of prompts.jsonl")


@dataclass(frozen=True, kw_only=True)
class Repaint(Scored, WithSprites, OfModelsWorld, OfModel):
    kinds: tuple[str, ...] = word(
        (*KINDS, *EXACT_KINDS),
        (*KINDS, *EXACT_KINDS),
        f"{', '.join((*KINDS, *EXACT_KINDS))} (default: all)",
        several=True,
        metavar="KIND",
    )
    limit: int = whole(PER_KIND, "tasks a kind", 1, PER_KIND)
    beside: Path | None = path(None, "record of other weights, to be shown too")


@dataclass(frozen=True, kw_only=True)
class Compare(Scored):
    model: Path = path(about="model folder")
    against: Path = path(SHIPPED, "the other model folder")
    limit: int = whole(100, "prompts a tag", 1)
