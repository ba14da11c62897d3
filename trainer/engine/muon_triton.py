"""Muon's arithmetic on a GPU: symmetric products that compute half, and one pass over the states before and after.

Legend
    n     matrices of a lot         r, c    rows and columns, r <= c after the tall ones are turned
    table int64 [k, n]: addresses of the fp32 matrices of k kinds, so that one launch serves all of a lot
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdm_core.ops.product_triton import operands
from mdm_core.ops.shared_memory_triton import fit_on, launch
from trainer.transfer import onto

TILE = (128, 256, 64, 8, 3)  # rows, columns and depth of a product's tile, warps, stages
SMALLEST = 128  # rows from which on these kernels beat the library's


@triton.jit
def _symmetric_kernel(
    h,
    w,
    w_stride,
    places,
    addend,
    out,
    factors,
    N,
    D,
    r,
    ADD: tl.constexpr,
    BM: tl.constexpr,
    BV: tl.constexpr,
    BD: tl.constexpr,
    BULK: tl.constexpr,
):
    tile, matrix = tl.program_id(0), tl.program_id(1)
    row0, column0 = tl.load(places + 2 * tile), tl.load(places + 2 * tile + 1)
    z = tl.zeros((BM, BV), tl.float32)
    if BULK:
        for d0 in range(0, D, BD):
            z = tl.dot(h.load([matrix * r + row0, d0]), w.load([matrix * r + column0, d0]).T, z)
    else:
        rows = ((matrix * r + row0 + tl.arange(0, BM)) % N).to(tl.int64)
        columns = ((matrix * r + column0 + tl.arange(0, BV)) % N).to(tl.int64)
        d = tl.arange(0, BD)  # [BD]
        for d0 in range(0, D, BD):
            keep = d0 + d < D
            a = tl.load(h + rows[:, None] * D + (d0 + d)[None, :], mask=keep[None, :], other=0.0)
            b = tl.load(w + columns[None, :] * w_stride + (d0 + d)[:, None], mask=keep[:, None], other=0.0)
            z = tl.dot(a, b, z, input_precision="ieee")
    row, column = row0 + tl.arange(0, BM), column0 + tl.arange(0, BV)
    lower = (row[:, None] >= column[None, :]) & (row < r)[:, None]  # [BM, BV]
    here = matrix.to(tl.int64) * r * r
    at = row[:, None] * r + column[None, :]
    z = z * tl.load(factors + 3 * matrix)
    if ADD:
        z += tl.load(factors + 3 * matrix + 1) * tl.load(addend + here + at, mask=lower, other=0.0).to(
            tl.float32
        )
        z += tl.where(row[:, None] == column[None, :], tl.load(factors + 3 * matrix + 2), 0.0)
    z = z.to(out.dtype.element_ty)
    tl.store(out + here + at, z, mask=lower)
    mirrored = out + here + column[None, :] * r + row[:, None]
    tl.store(mirrored, z, mask=lower & (row[:, None] > column[None, :]))


@triton.jit
def _momentum_kernel(
    table, out, n, rows, columns, momentum, TURN: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr
):
    matrix = tl.program_id(2).to(tl.int64)
    gradient = tl.multiple_of(tl.load(table + matrix).to(tl.pointer_type(tl.float32)), 16)
    buffer = tl.multiple_of(tl.load(table + n + matrix).to(tl.pointer_type(tl.float32)), 16)
    row = tl.program_id(1).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.program_id(0) * BC + tl.arange(0, BC)
    keep = (row < rows)[:, None] & (column < columns)[None, :]
    at = row[:, None] * columns + column[None, :]
    g = tl.load(gradient + at, mask=keep, other=0.0)
    b = tl.load(buffer + at, mask=keep, other=0.0)
    b += (g - b) * (1.0 - momentum)
    tl.store(buffer + at, b, mask=keep)
    update = g + (b - g) * momentum  # Nesterov
    if TURN:
        at = column[None, :].to(tl.int64) * rows + row[:, None]
    tl.store(out + matrix * rows * columns + at, update.to(out.dtype.element_ty), mask=keep)


@triton.jit
def _apply_kernel(
    table, steps, rows, columns, alpha, shrink, TURN: tl.constexpr, BR: tl.constexpr, BC: tl.constexpr
):
    matrix = tl.program_id(2).to(tl.int64)
    weight = tl.multiple_of(tl.load(table + matrix).to(tl.pointer_type(tl.float32)), 16)
    row = tl.program_id(1).to(tl.int64) * BR + tl.arange(0, BR)
    column = tl.program_id(0) * BC + tl.arange(0, BC)
    keep = (row < rows)[:, None] & (column < columns)[None, :]
    at = row[:, None] * columns + column[None, :]
    there = column[None, :].to(tl.int64) * rows + row[:, None] if TURN else at
    s = tl.load(steps + matrix * rows * columns + there, mask=keep, other=0.0).to(tl.float32)
    w = tl.load(weight + at, mask=keep, other=0.0)
    tl.store(weight + at, w * shrink + alpha * s, mask=keep)


@cache
def _places(r: int, rows: int, columns: int, device: torch.device) -> Tensor:
    """int32 [tiles, 2]: first row and column of every tile that reaches the diagonal or lies below it."""
    found = [(i, j) for i in range(0, r, rows) for j in range(0, r, columns) if j < min(i + rows, r)]
    return torch.tensor(found, dtype=torch.int32, device=device)


def symmetric(x: Tensor, factors: Tensor, addend: Tensor | None = None, tile: tuple | None = None) -> Tensor:
    """factors[0] X X^T + factors[1] addend + factors[2] I of every matrix X [r, c] of a stack; [n, r, r].

    Args:
        x: [n, r, c], contiguous. factors: fp32 [n, 3]. addend: symmetric [n, r, r]; without one only the product.
    """
    n, r, c = x.shape
    rows, columns, depth, warps, stages = fit_on(tile or TILE, x.element_size(), 0, x.device)
    out = x.new_empty(n, r, r)
    flat = x.view(n * r, c)
    h, w, bulk = operands(flat, flat, rows, columns, depth)
    places = _places(r, rows, columns, x.device)
    launch(
        _symmetric_kernel,
        (len(places), n),
        stages,
        h,
        w,
        c,
        places,
        out if addend is None else addend,
        out,
        factors,
        n * r,
        c,
        r,
        ADD=addend is not None,
        BM=rows,
        BV=columns,
        BD=depth,
        BULK=bulk,
        num_warps=warps,
    )
    return out


@cache
def _factors(a: float, b: float, c: float, n: int, device: torch.device) -> Tensor:
    return torch.tensor([[a, b, c]], dtype=torch.float32, device=device).repeat(n, 1)


def orthogonalise(x: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """`muon.orthogonalise` of a stack [n, r, c] of wide matrices, with symmetric products.

    The matrices' norms are the traces of their first Gram matrices, so that no pass over them is needed, and a X
    rides in the diagonal of what X is multiplied with.
    """
    a, b, c = coefficients
    n, device = len(x), x.device
    for step in range(steps):
        gram = symmetric(x, _factors(1.0, 0.0, 0.0, n, device))
        factors = _factors(c, b, a, n, device)  # [n, 3]
        if step == 0:
            square = gram.diagonal(dim1=1, dim2=2).sum(1, dtype=torch.float32).clamp_min(1e-14)  # [n]
            by = torch.stack([square**-2.5, square**-1.5, square**-0.5], 1)  # [n, 3]
            factors = factors * by
        x = torch.bmm(symmetric(gram, factors, gram), x)
    return x


def addresses(*kinds: list[Tensor]) -> Tensor:
    """The table of some kinds of matrices, on their device."""
    table = torch.tensor([[t.data_ptr() for t in kind] for kind in kinds], dtype=torch.int64)
    return onto(table, kinds[0][0].device)


def _grid(n: int, rows: int, columns: int) -> tuple[dict[str, Any], tuple[int, int, int]]:
    BR, BC = 64, 64
    return {"BR": BR, "BC": BC, "num_warps": 8}, (triton.cdiv(columns, BC), triton.cdiv(rows, BR), n)


def momentum_(grads: list[Tensor], buffers: list[Tensor], momentum: float, out: Tensor, turn: bool) -> None:
    """Average the gradients [rows, columns] into their buffers; the updates go to out [n, rows, columns], or turned."""
    rows, columns = grads[0].shape
    options, grid = _grid(len(grads), rows, columns)
    _momentum_kernel[grid](
        addresses(grads, buffers), out, len(grads), rows, columns, momentum, TURN=turn, **options
    )


def apply_(weights: list[Tensor], steps: Tensor, alpha: float, shrink: float, turned: bool) -> None:
    """weights = weights * shrink + alpha * steps [n, rows, columns], or turned."""
    rows, columns = weights[0].shape
    options, grid = _grid(len(weights), rows, columns)
    _apply_kernel[grid](addresses(weights), steps, rows, columns, alpha, shrink, TURN=turned, **options)


def serve(tensors: list[Tensor]) -> bool:
    """Whether the kernels can take these: fp32 on a GPU, each in one piece."""
    return all(
        t.is_cuda and t.dtype == torch.float32 and t.is_contiguous() and t.data_ptr() % 16 == 0
        for t in tensors
    )
