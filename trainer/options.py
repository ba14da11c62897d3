"""How a setting of the trainer is declared: once, with its default, what it may be, and what its flag says.

    @dataclass(frozen=True, kw_only=True)
    class Photos(Settings):
        root: Path = path(about="folder with one sub-folder per package", place=True)
        processes: int = whole(2, "that read pictures", 1, 1024)

`Settings` checks every field that is declared so, however the object is made; `trainer.command.ask` makes the flags of
a command from the same declarations. A field without help has no flag: it is set in code and in recipes.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mdm_core.paths import located
from mdm_core.settings import MAX_SEED
from trainer import checks

HIDDEN = argparse.SUPPRESS  # help of a flag that commands give to each other
DEVICE = "cpu, cuda, ... (default: a GPU if there is one)"
Check = Callable[[Any, str], None]  # of an object's field; ValueError names it


@dataclass(frozen=True)
class Option:
    """What a field may be, and its flag: `flag` is what argparse must know besides name, default and help.

    several: the field is a tuple. place: it is told by its place and not by a flag.
    """

    about: str
    check: Check
    flag: dict[str, Any]
    several: bool = False
    place: bool = False


class Settings:
    """What a dataclass of declared fields stands on: they are checked, and keep their declaration in subclasses."""

    def __init_subclass__(cls) -> None:
        """A subclass that only gives a field another default has it checked as before."""
        known = getattr(cls, "__dataclass_fields__", {})
        for name in inspect.get_annotations(cls).keys() & known.keys():
            value, declared = vars(cls).get(name, MISSING), known[name].metadata
            if value is not MISSING and not isinstance(value, dataclasses.Field) and "option" in declared:
                setattr(cls, name, field(default=value, metadata=declared))

    def __post_init__(self) -> None:
        for name, option in options(type(self)).items():
            option.check(self, name)


def options(kind: type) -> dict[str, Option]:
    """The declared fields of a settings class."""
    found = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return {f.name: f.metadata["option"] for f in found if "option" in f.metadata}


# ---- kinds of fields ---------------------------------------------------------------------------------------------


def option(
    default: Any, about: str, check: Check, several: bool = False, place: bool = False, **flag: Any
) -> Any:
    """A field of any kind. Where there is no default, it must be given; where that is None, it may be None."""

    def checked(part: Any, name: str) -> None:
        value = getattr(part, name)
        if value is None and default is None:
            return
        if not several:
            check(part, name)
            return
        if not isinstance(value, tuple | list) or not (value or default in (None, ())):
            raise ValueError(f"{name} must be a list with something in it, got {checks.told(value)}")
        for one in value:
            check(SimpleNamespace(**{name: one}), name)

    return field(default=default, metadata={"option": Option(about, checked, flag, several, place)})


def whole(default: Any = MISSING, about: str = "", low: int = 0, high: int = checks.MOST, **more: Any) -> Any:
    """A whole number from low to high."""

    def check(part: Any, name: str) -> None:
        checks.wholes(part, (name,), low, high)

    return option(default, about, check, type=read_whole(low, high), **more)


def any_seed(default: Any = 0, about: str = "") -> Any:
    """A seed of random numbers."""
    return whole(default, about, 0, MAX_SEED)


def number(
    default: Any = MISSING,
    about: str = "",
    low: float = 0.0,
    high: float = math.inf,
    above: bool = False,
    endless: bool = False,
) -> Any:
    """A number from low (with `above`: beyond it) to high; infinity only where it is `endless`."""

    def check(part: Any, name: str) -> None:
        if not (endless and getattr(part, name) == math.inf):
            checks.numbers(part, (name,), low, high, above)

    return option(default, about, check, type=read_number(low, high, above))


def share(default: Any = MISSING, about: str = "") -> Any:
    """A share from 0 to 1."""
    return option(default, about, lambda part, name: checks.shares(part, (name,)), type=read_number(high=1))


def switch(about: str = "", default: bool = False) -> Any:
    """True or False; its flag makes it True."""
    return option(default, about, lambda part, name: checks.flags(part, name), action="store_true")


def word(default: Any, choices: Iterable[str], about: str = "", **more: Any) -> Any:
    """One of some words, or with `several` some of them."""
    known = tuple(choices)
    flag = {"choices": known, **({"metavar": more.pop("metavar")} if "metavar" in more else {})}
    return option(default, about, lambda part, name: checks.choices(part, **{name: known}), **more, **flag)


def any_text(default: Any = MISSING, about: str = "", **more: Any) -> Any:
    """Any text."""

    def check(part: Any, name: str) -> None:
        value = getattr(part, name)
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a text, got {checks.told(value)}")

    return option(default, about, check, **more)


def path(default: Any = MISSING, about: str = "", **more: Any) -> Any:
    """The path of a file or folder; on a command line `~` is the user's own folder."""

    def check(part: Any, name: str) -> None:
        value = getattr(part, name)
        if not isinstance(value, str | os.PathLike):
            raise ValueError(f"{name} must be the path of a file or folder, got {checks.told(value)}")
        object.__setattr__(part, name, located(value))

    return option(default, about, check, type=to_path, **more)


# ---- values as a command line has them: `type=` of argparse ------------------------------------------------------


def to_path(text: str) -> Path:
    """A path; `~` is the user's own folder."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("a path must not be empty")
    return located(text)


def read_whole(low: int = 0, high: int = checks.MOST) -> Callable[[str], int]:
    """A whole number from low to high."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low:,} to {high:,}, got {text[:40]!r}"
            )
        return value

    return read


def read_number(low: float = 0.0, high: float = math.inf, above: bool = False) -> Callable[[str], float]:
    """A number from low (with `above`: beyond it) to high, and neither NaN nor infinite."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low < value if above else low <= value) or not value <= high or math.isinf(value):
            to = "" if high == math.inf else f" and {high:g} or less"
            raise argparse.ArgumentTypeError(
                f"must be a number {'above' if above else 'of at least'} {low:g}{to}, got {text[:40]!r}"
            )
        return value

    return read
