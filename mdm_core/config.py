"""How settings are checked, and those of the sampler, which every family of models shares.

Every class checks itself when it is built, so that library, page, recipe and file are refused alike: ValueError in
one sentence that names the field, its range and the value. Numbers of NumPy and PyTorch become Python's own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ORDERS = ("confidence", "entropy", "margin", "halton", "random", "threshold")
EDITS = ("overwrite", "remask", "off")
SCHEDULES = ("cosine", "linear", "arccos", "shift")
MAX_STEPS = 256


def located(path: str | Path) -> Path:
    """`path` with ~ as the home folder; one that begins with an unknown ~name stays as it is."""
    return Path(os.path.expanduser(path))


# ---- checks ----------------------------------------------------------------------------------------------


def own(value: Any) -> Any:
    """A number of NumPy or a tensor of one as Python's own; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value


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


@dataclass(frozen=True)
class SampleConfig:
    """Defaults of the sampler; every field can be set per call, and a model's config.json has its own.

    Guidance, temperature and order noise were chosen with an early model, by the distance of 20 single-object
    pictures to the nearest true rendering (RMSE in grey levels at 32x32): 13.0 at 3 / 1.0 / 4, 8.1 at these
    defaults. 1.5 / 0.7 / 1 had 7.8; the defaults keep a little more variety.
    """

    steps: int = 12
    guidance: float = 1.5  # g of (1+g) cond - g uncond; 0 is no guidance
    temperature: float = 0.8
    order: str = "confidence"
    schedule: str = "cosine"
    gumbel: float = 1.0  # start of the annealed noise on the commit order
    mask_threshold: float = 0.9  # order="threshold": commit all masked tokens surer than this
    top_k: int | None = None
    top_p: float | None = None
    edit: str = "overwrite"  # "overwrite" (T2T), "remask" (T2M) or "off"
    edit_threshold: float = 0.6
    edit_margin: float = 0.0
    edit_budget: float = 0.05  # share of the visible tokens that one step may edit
    edit_cap: int = 3  # edits one token may see in a run
    edit_cooldown: int = 1  # steps a token rests after it was set or edited
    edit_window: tuple[float, float] = (0.0, 1.0)  # active while progress is within
    polish: int = 2  # edit-only passes at the end, at most

    def __post_init__(self):
        whole = {
            "steps": (1, MAX_STEPS),
            "polish": (0, 64),
            "edit_cap": (0, 10_000),
            "edit_cooldown": (0, 1000),
        }
        real = {
            "guidance": (0, 50),
            "temperature": (0.01, 10),
            "gumbel": (0, 100),
            "mask_threshold": (0, 1),
            "edit_threshold": (0, 1),
            "edit_margin": (-1, 1),
            "edit_budget": (0, 1),
        }
        check_fields(self, whole_number, whole)
        check_fields(self, real_number, real)
        for name, choices in (("order", ORDERS), ("schedule", SCHEDULES), ("edit", EDITS)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
            object.__setattr__(self, name, str(value))
        top_k, top_p, window = own(self.top_k), own(self.top_p), self.edit_window
        if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
            raise ValueError(f"top_k must be a whole number of 1 or more, got {top_k!r}")
        if top_p is not None and not (_is_real(top_p) and 0 < top_p <= 1):
            raise ValueError(f"top_p must be above 0 and at most 1, got {top_p!r}")
        window = window.tolist() if hasattr(window, "tolist") else window
        ends = tuple(map(own, window)) if isinstance(window, tuple | list) else ()
        if not (len(ends) == 2 and all(map(_is_real, ends)) and 0 <= ends[0] <= ends[1] <= 1):
            raise ValueError(f"edit_window must be two rising numbers within 0..1, got {window!r}")
        for name, value in (("top_k", top_k), ("top_p", top_p), ("edit_window", ends)):
            object.__setattr__(self, name, value)


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
