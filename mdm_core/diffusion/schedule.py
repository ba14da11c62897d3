"""Mask-ratio schedules: how much is masked at training time t, and after each step of sampling.

`t` in [0, 1]: 1 is all masked, 0 is clean. While sampling, progress u = 1 - t runs from 0 to 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mdm_core.settings import SCHEDULES

SHIFT = 3.0  # s of the shifted schedule, "few first, many last"


def mask_ratio(t: Tensor, schedule: str = "cosine") -> Tensor:
    """Share of tokens masked at corruption level `t` (any shape, in [0, 1]); same shape, rising in t.

    cosine   cos(pi (1-t) / 2)     MaskGIT (Chang et al. 2022)
    linear   t
    arccos   2/pi arccos(1-t)
    shift    s t / (1 + (s-1) t), s = 3: few tokens first, many last (the paper's configuration)
    """
    u = 1.0 - t
    if schedule == "cosine":
        return torch.cos(math.pi / 2 * u)
    if schedule == "linear":
        return 1.0 - u
    if schedule == "arccos":
        return torch.arccos(u.clamp(0, 1)) * (2 / math.pi)
    if schedule == "shift":
        return SHIFT * t / (1.0 + (SHIFT - 1.0) * t)
    raise ValueError(f"schedule must be one of {SCHEDULES}, got {schedule!r}")
