"""What is asked of the commands of bench."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from mdm_core.paths import HERE, SHIPPED
from trainer import checks
from trainer.options import HIDDEN, Settings, any_text, number, option, path, switch, whole, word
from trainer.settings.shared import OfModel

RECORDS = Path("assets/benchmarks")
ROOT = HERE.parent  # of the checkout
DEVICES = ("cpu", "cuda")
SIDES = {16: "aMUSEd 256", 32: "aMUSEd 512"}  # cells a side


def shape_of(text: str) -> tuple[int, int, int]:
    """N,D,V as three numbers."""
    try:
        n, d, v = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be three whole numbers N,D,V, got {text[:40]!r}") from None
    if min(n, d, v) < 1:
        raise argparse.ArgumentTypeError(f"must be three numbers of 1 or more, got {text[:40]!r}")
    return n, d, v


def _shape(part: Any, name: str) -> None:
    value = getattr(part, name)
    if not isinstance(value, tuple) or len(value) != 3:
        raise ValueError(f"{name} must be shapes N, D, V, got {checks.told(value)}")


@dataclass(frozen=True, kw_only=True)
class Benched(Settings):
    device: str | None = word(None, DEVICES, "default: a GPU if there is one")
    out: Path = path(RECORDS, "folder of the records")


@dataclass(frozen=True, kw_only=True)
class Operators(Benched):
    what: str = word(
        MISSING,
        ("gce", "sample", "table", "profile"),
        "what is measured, or table: the records there",
        place=True,
    )
    quick: bool = switch("fewer rounds, and only the first shapes")
    shape: tuple[tuple[int, int, int], ...] | None = option(
        None,
        "only this shape; may be given again",
        _shape,
        several=True,
        type=shape_of,
        action="append",
        nargs=None,
        metavar="N,D,V",
    )
    seconds: float | None = number(None, "time for each contender; 0 only warms compilers up")
    readme: Path | None = path(None, "table: renew the summary between this file's markers")
    note: str | None = any_text(None, "a sentence for the record: what a reader of its figures should know")
    commit: str | None = any_text(None, "what to write where git cannot be asked")


@dataclass(frozen=True, kw_only=True)
class Training(Benched):
    batch: int | None = whole(None, "samples a step (default: 16 on a CPU, 512 on a GPU)", 1)
    seconds: float | None = number(None, "time to measure for (default: 40; 12 on a GPU)")


@dataclass(frozen=True, kw_only=True)
class Scaling(Benched):
    processes: tuple[int, ...] | None = whole(
        None, "default: 1, 2, 4, ... as GPUs are there", 1, 1 << 16, several=True
    )
    kinds: tuple[str, ...] = word(("ddp", "fsdp"), ("ddp", "fsdp"), "copies or shards", several=True)
    recipe: str | None = any_text(None, "a recipe's model, e.g. paper_1024")
    depth: int = whole(2, "blocks of that recipe's model", 1)
    no_checkpointing: bool = switch("keep the insides of that recipe's blocks")
    batch: int | None = whole(None, "samples on each device", 1)
    seconds: float = number(10.0, "for each row")
    tiny: bool = switch("a model that any machine trains in seconds")


@dataclass(frozen=True, kw_only=True)
class Picture(Benched, OfModel):
    runs: int = whole(10, "of each figure", 1, 1000)
    against: Path | None = path(None, "a checkout whose pipeline runs in turns with this one's")
    commit: str | None = any_text(None, "what to write where git cannot be asked")


def _side(part: Any, name: str) -> None:
    value = getattr(part, name)
    if not isinstance(value, int) or value not in SIDES:
        raise ValueError(f"{name} must be one of {', '.join(map(str, SIDES))}, got {checks.told(value)}")


@dataclass(frozen=True, kw_only=True)
class Amused(Benched):
    side: int = option(
        16,
        "cells a side: 256 or 512 pixels",
        _side,
        type=int,
        choices=tuple(SIDES),
    )
    runs: int = whole(3, "of each figure", 1, 100)
    # the process that is measured
    opened: Path | None = path(None, HIDDEN)


@dataclass(frozen=True, kw_only=True)
class NLDiffusion(Benched):
    tiny: bool = switch("a shape that any machine runs, not recorded")
    steps: int = whole(20, "of a run", 1, 256)
    runs: int = whole(3, "of each figure, behind one to warm up", 1, 100)
    seconds: float = number(3.0, "for each way to sample")


@dataclass(frozen=True, kw_only=True)
class Speed(Settings):
    model: Path | None = path(None, "folder of the large model (default: random)")
    small: Path = path(SHIPPED, "folder of the small one")
    against: Path = path(ROOT, "checkout that runs the small one (default: this one)")
    runs: int = whole(5, "of each figure", 1, 1000)
    two_passes: bool = switch("random weights that do not hold guidance")
    json: Path | None = path(None, "write the record here")
