"""What settings may be: each check is one ValueError that names the field, what it may be and what it was."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from mdm_core.settings import MAX_SEED

MOST = 1 << 40  # of a count that nothing else limits
MOST_IN_BATCH, MOST_WORKERS = 1 << 20, 1024


def told(value: Any) -> str:
    """A wrong value as a message shows it, shortened; Python itself refuses to write out very large numbers."""
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    return reprlib.repr(value)


def wholes(part: Any, names: Iterable[str], low: int = 0, high: int = MOST, optional: bool = False) -> None:
    """Fields that are whole numbers from low to high; with `optional` also None."""
    for name in names:
        value = getattr(part, name)
        if optional and value is None:
            continue
        if _within(value, low, high):
            _plain(part, name, int(value))
            continue
        up = f"a whole number of {low} or more" if high == MOST else f"a whole number from {low} to {high}"
        raise ValueError(f"{name} must be {up}{' or None' if optional else ''}, got {told(value)}")


def numbers(
    part: Any, names: Iterable[str], low: float = 0.0, high: float = math.inf, above: bool = False
) -> None:
    """Fields that are finite numbers from low (with `above`: beyond it) to high."""
    for name in names:
        value = getattr(part, name)
        if is_number(value) and (low < value if above else low <= value) and value <= high:
            _plain(part, name, value)
            continue
        if high == math.inf:
            wanted = f"must be above {low:g}" if above else f"must be {low:g} or more"
            wanted += ", and finite" if value == math.inf else ""
        else:
            wanted = (
                f"must lie {'above' if above else 'between'} {low:g} and {'up to ' if above else ''}{high:g}"
            )
        raise ValueError(f"{name} {wanted}, got {told(value)}")


def shares(part: Any, names: Iterable[str], whole: bool = True) -> None:
    """Fields that are shares from 0 to 1; without `whole` below 1."""
    for name in names:
        value = getattr(part, name)
        if not is_number(value) or not 0 <= value <= 1 or (value == 1 and not whole):
            to = "to 1" if whole else "to below 1"
            raise ValueError(f"{name} is a share from 0 {to}, got {told(value)}")
        _plain(part, name, value)


def _plain(part: Any, name: str, value: Any) -> None:
    """Keep a number of NumPy as one of Python: it is written to JSON, and multiplied with tensors."""
    if type(getattr(part, name)) not in (int, float):
        object.__setattr__(part, name, value if type(value) is int else float(value))


def is_number(value: Any) -> bool:
    """Whether a value is a finite number that a float can hold; True and False are none."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(float(value))
    except OverflowError:
        return False


def choices(part: Any, **known: Iterable[str]) -> None:
    """Fields that are one of some words."""
    for name, words in known.items():
        value = getattr(part, name)
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"{name} must be one of {', '.join(words)}, got {told(value)}")


def flags(part: Any, *names: str) -> None:
    """Fields that are True or False."""
    for name in names:
        value = getattr(part, name)
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, got {told(value)}")


def seeds(part: Any, *names: str) -> None:
    """Fields that are seeds of random numbers."""
    wholes(part, names, 0, MAX_SEED)


def batches(data: Any) -> None:
    """The fields batch_size and workers of the `data` part of a recipe."""
    size: Any = getattr(data, "batch_size", None)
    workers: Any = getattr(data, "workers", None)
    if not _within(size, 1, MOST_IN_BATCH) or not _within(workers, 0, MOST_WORKERS):
        raise ValueError(
            f"data.batch_size must be 1 or more and data.workers 0 or more, up to {MOST_IN_BATCH:,} and "
            f"{MOST_WORKERS:,}; got {told(size)} and {told(workers)}"
        )
    _plain(data, "batch_size", int(size))
    _plain(data, "workers", int(workers))


def _within(value: Any, low: int, high: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and low <= int(value) <= high
