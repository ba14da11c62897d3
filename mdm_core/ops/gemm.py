"""The three matrix products of a linear head, on buffers that already exist."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def multiply_(out: Tensor, a: Tensor, b: Tensor) -> None:
    """out = a @ b, in place, without a temporary of out's size."""
    torch.mm(a, b, out=out)


def accumulate_(total: Tensor, a: Tensor, b: Tensor, first: bool) -> None:
    """total (+)= a @ b, overwriting when `first`; an fp32 total of bf16 inputs adds without rounding."""
    beta = 0 if first else 1
    if total.dtype == a.dtype:
        total.addmm_(a, b, beta=beta)
    elif _wide_gemm(a.device):
        torch.addmm(total, a, b, out_dtype=total.dtype, beta=beta, out=total)
    elif first:
        total.copy_(a @ b)
    else:
        total.add_(a @ b)


@cache
def _wide_gemm(device: torch.device) -> bool:
    """Whether the library can multiply bf16 into an fp32 sum here (CUDA, PyTorch 2.8 and later)."""
    if device.type != "cuda":
        return False
    half = torch.ones(16, 16, device=device, dtype=torch.bfloat16)
    total = torch.ones(16, 16, device=device)
    try:
        torch.addmm(total, half, half, out_dtype=torch.float32, out=total)
    except (RuntimeError, TypeError):
        return False
    return bool((total == 17).all())
