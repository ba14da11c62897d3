"""The matrix product of a linear head inside a Triton kernel: one [BM, BV] tile of logits in registers.

What follows it in the kernel (the epilogue) is that of sample/stretch_triton.py or gce/stream_triton.py. Rows beyond N
repeat earlier rows and columns beyond V earlier tokens: the caller masks what it keeps.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Columns of one program's stretch of the vocabulary: results must not depend on the batch, so V decides alone.
SHORT, LONG = 1024, 2048
LONG_FROM = 32768
BULK = True  # use the bulk copy engine where there is one (Hopper and later)


def operands(hidden: Tensor, weight: Tensor, rows: int, columns: int, depth: int) -> tuple[Any, Any, bool]:
    """hidden and weight as `logits_tile` takes them, and whether they are for the bulk copy engine."""
    size = hidden.element_size()
    aligned = all(
        x.data_ptr() % 16 == 0 and x.stride(0) * size % 16 == 0 and x.stride(1) == 1 for x in (hidden, weight)
    )
    if not (BULK and size == 2 and aligned and _has_bulk_copies(hidden.device)):
        return hidden, weight, False
    from triton.tools.tensor_descriptor import TensorDescriptor

    return (
        TensorDescriptor.from_tensor(hidden, [rows, depth]),
        TensorDescriptor.from_tensor(weight, [columns, depth]),
        True,
    )


@cache
def _has_bulk_copies(device: torch.device) -> bool:
    if importlib.util.find_spec("triton.tools.tensor_descriptor") is None:
        return False
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 9


@triton.jit
def exp(x):
    """e^x through the processor's power of two; results too small for a normal number are zero."""
    return tl.exp2(x * 1.4426950408889634)


@triton.jit
def logits_tile(
    h,
    w,
    w_stride,
    row0,
    column0,
    N,
    V,
    D: tl.constexpr,
    BM: tl.constexpr,
    BV: tl.constexpr,
    BD: tl.constexpr,
    BULK: tl.constexpr,
):
    """fp32 [BM, BV]: rows row0.. of h [N, D] (contiguous) times rows column0.. of w [V, D], transposed.

    h and w as `operands` gives them.
    """
    z = tl.zeros((BM, BV), tl.float32)
    if BULK:
        for d0 in range(0, D, BD):
            z = tl.dot(h.load([row0, d0]), w.load([column0, d0]).T, z)
    else:
        rows = (row0 + tl.arange(0, BM)) % N
        columns = (column0 + tl.arange(0, BV)) % V
        d = tl.arange(0, BD)  # [BD]
        h_at = h + rows.to(tl.int64)[:, None] * D + d[None, :]  # [BM, BD]
        w_at = w + columns.to(tl.int64)[None, :] * w_stride + d[:, None]  # [BD, BV]
        for d0 in range(0, D, BD):
            if D % BD == 0:
                a, b = tl.load(h_at), tl.load(w_at)
            else:
                a = tl.load(h_at, mask=d0 + d[None, :] < D, other=0.0)
                b = tl.load(w_at, mask=d0 + d[:, None] < D, other=0.0)
            z = tl.dot(a, b, z, input_precision="ieee")
            h_at += BD
            w_at += BD
    return z


def stretch(vocab_size: int, columns: int) -> tuple[int, int]:
    """Tiles of `columns` tokens per program, and how many programs it takes to cover the vocabulary."""
    tiles = max(1, (SHORT if vocab_size <= LONG_FROM else LONG) // columns)
    return tiles, triton.cdiv(vocab_size, tiles * columns)
