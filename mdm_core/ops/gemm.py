"""The three matrix products of a linear head, on buffers that already exist, and the memory they may read.

A product may read further than its operands reach. On CPUs with AMX, oneDNN loads the rows of a 16-bit left
operand in whole 64 bytes and counts on the weight's zeros to cancel what lies behind a row; but 0 times NaN is NaN.
So every left operand here is `roomy`: whatever stands between the end of its rows and the next whole 64 bytes is
zero. Memory that nobody wrote, and another row's NaN, then reach no result.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def reach(columns: int, like: Tensor) -> int:
    """Columns that a product may read of a row of `columns` numbers of like's type, on like's device."""
    if like.device.type != "cpu" or like.element_size() != 2:
        return columns
    return -(-columns // 32) * 32


def roomy(matrix: Tensor) -> Tensor:
    """The matrix [n, k] as a left operand: itself where k fills whole 64 bytes, else a copy with zeros behind."""
    (count, width), whole = matrix.shape, reach(matrix.shape[1], matrix)
    if whole == width:
        return matrix
    store = matrix.new_zeros(count, whole)
    store[:, :width] = matrix
    return store[:, :width]


def seal_(buffer: Tensor, columns: int) -> None:
    """Make buffer[:, :columns] roomy: zeros in the columns behind, as far as a product may read."""
    whole = reach(columns, buffer)
    if whole > columns:
        buffer[:, columns:whole] = 0


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
