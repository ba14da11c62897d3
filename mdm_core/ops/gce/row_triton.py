"""What the kernels of grouped cross-entropy share in Triton: a row's objective from its patch, and the patch table.

Legend
    V, K        vocabulary, patch slots per row     J     1 + group levels (level 0 is the target itself)
    BK          K rounded up to 2^i
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _log1p(t):
    # log(1 + t) for t in [0, 1] without losing small t: the rounding error of 1 + t divides out.
    u = 1.0 + t
    return tl.where(u == 1.0, t, tl.log(u) * (t / tl.where(u == 1.0, 1.0, u - 1.0)))


@triton.jit
def row_objective(zr, rest, top, bits, keep, coefficients, z_loss, J: tl.constexpr):
    """A row's loss, LSE - top, each slot's gradient [BK], factor of exp(z - top) elsewhere (see row_stats)."""
    e = tl.where(keep, tl.exp(zr), 0.0)  # [BK]
    total = rest + tl.sum(e, 0)
    lse = tl.log(total)
    full = lse + top
    loss = z_loss * full * full
    slot = 2.0 * z_loss * full * (e / total)  # [BK]
    push = 2.0 * z_loss * full
    for j in tl.static_range(J):
        weight = tl.load(coefficients + j)
        inside = keep & (((bits >> j) & 1) == 1)  # [BK]
        peak = tl.maximum(tl.max(tl.where(inside, zr, float("-inf")), 0), -3e38)
        e_in = tl.where(inside, tl.exp(zr - peak), 0.0)  # [BK]
        s_in = tl.sum(e_in, 0)
        s_out = rest + tl.sum(tl.where(inside, 0.0, e), 0)
        odds = tl.log(s_out) - (tl.log(s_in) + peak)
        loss += weight * (tl.maximum(odds, 0.0) + _log1p(tl.exp(-tl.abs(odds))))
        outside_p = 1.0 / (1.0 + tl.exp(-odds))  # 1 - P
        slot += weight * tl.where(inside, -(e_in / s_in) * outside_p, e / total)
        push += weight
    return loss, lse, slot, push / total


class Table(NamedTuple):
    """The patch of every token (see Groups.patch_table), and the number of levels."""

    ids: Tensor  # int32 [V, K]
    bits: Tensor  # int32 [V, K]
    levels: int  # J


@cache
def coefficients_on(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)
