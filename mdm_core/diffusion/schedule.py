"""Mask-ratio schedules: how much is masked at training time t, and how many tokens each step commits.

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


def commit_counts(n_masked: int, steps: int, schedule: str = "cosine") -> list[int]:
    """How many of `n_masked` tokens each of `steps` steps commits; the counts sum to `n_masked`.

    Every step commits at least one token while any is left, so no step is idle; when there are more
    steps than tokens the list is shorter than `steps`.
    """
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}")
    t = 1.0 - torch.arange(1, steps + 1, dtype=torch.float64) / steps
    target = (mask_ratio(t, schedule) * n_masked).floor().long().tolist()  # masked after each step
    counts, left = [], n_masked
    for k, goal in enumerate(target):
        if left == 0:
            break
        n = left if k == steps - 1 else max(1, left - goal)
        counts.append(min(n, left))
        left -= counts[-1]
    return counts
