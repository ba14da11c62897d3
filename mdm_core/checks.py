"""Checks of single values; numbers of NumPy and PyTorch become Python's own."""

from __future__ import annotations

from typing import Any


def own(value: Any) -> Any:
    """A number of NumPy or a tensor of one as Python's own; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


def is_real(value: Any) -> bool:
    """True for Python's int and float, not for bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """True for Python's int, not for bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """`value` as int; ValueError unless it is a whole number within low..high."""
    value = own(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    return value


def real_number(name: str, value: Any, low: float, high: float) -> float:
    """`value` as int or float; ValueError unless it is a number within low..high."""
    value = own(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low} to {high}, got {value!r}")
    return value


def check_fields(config: Any, check: Any, bounds: dict[str, tuple[float, float]]) -> None:
    """Check fields of a frozen dataclass and keep what the check makes of them."""
    for name, (low, high) in bounds.items():
        object.__setattr__(config, name, check(name, getattr(config, name), low, high))
