"""Grouped cross-entropy over tiles of logits, in Triton: the engine of pytorch.py, one program per row.

Legend
    n      rows of a tile            V     columns of a tile
    K      patch slots per row       J     1 + group levels (level 0 is the target itself)
    BK     K rounded up to 2^i       BV    columns a program handles at once

A row's program reads its logits, and writes the gradient over them: in one sweep when the row fits in
registers (V <= 32768), in two otherwise. The patch is gathered first and set to -inf in memory, so the
sweep needs to know nothing of groups. No locks, no atomics: each number has one writer, and a rerun is
bitwise equal. The matrix products around the kernels are the library's (see schedules.py); all offsets
are 64-bit.
"""

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdm_core.groups import Patch
from mdm_core.ops.gce import stream_triton
from mdm_core.ops.gce.pytorch import Stats
from mdm_core.ops.gce.row_triton import Table, coefficients_on, row_objective
from mdm_core.ops.product_triton import exp

STREAM_COLUMNS = 2048  # of the vocabulary at a time, when only the loss is asked for
STREAM_BYTES = 6 << 20  # and the logits in flight then: the forward alone gains nothing from more
ONE_SWEEP = 32768  # the longest row that one program holds in registers
TWO_SWEEPS = 8192  # columns at once where a row does not fit


@triton.jit
def _rows_kernel(
    z,
    z_stride,
    target,
    scale,
    ids,
    bits,
    coefficients,
    loss,
    lse,
    V,
    K,
    z_loss,
    J: tl.constexpr,
    BK: tl.constexpr,
    BV: tl.constexpr,
    ONE: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    z += row * z_stride
    y = tl.load(target + row).to(tl.int64)
    k = tl.arange(0, BK)
    token = tl.load(ids + y * K + k, mask=k < K, other=-1)  # [BK]
    member = tl.load(bits + y * K + k, mask=k < K, other=0)  # [BK]
    keep = token >= 0
    zu = tl.load(z + token, mask=keep, other=float("-inf")).to(tl.float32)  # [BK]
    tl.debug_barrier()  # every thread has its copy
    tl.store(z + token, tl.full((BK,), float("-inf"), tl.float32).to(z.dtype.element_ty), mask=keep)
    tl.debug_barrier()  # the sweep below sees -inf

    v = tl.arange(0, BV)
    top = tl.maximum(tl.max(zu, 0), -3e38)
    if ONE:
        x = tl.load(z + v, mask=v < V, other=float("-inf")).to(tl.float32)  # [BV]
        top = tl.maximum(top, tl.max(x, 0))
        x = exp(x - top)
        rest = tl.sum(x, 0)
    else:
        rest = 0.0
        for v0 in range(0, V, BV):
            x = tl.load(z + v0 + v, mask=v0 + v < V, other=float("-inf")).to(tl.float32)  # [BV]
            higher = tl.maximum(top, tl.max(x, 0))
            rest = rest * exp(top - higher) + tl.sum(exp(x - higher), 0)
            top = higher

    row_loss, row_lse, slot, factor = row_objective(
        zu - top, rest, top, member, keep, coefficients, z_loss, J
    )
    tl.store(loss + row, row_loss)
    tl.store(lse + row, row_lse + top)

    times = tl.load(scale + row)
    factor *= times
    if ONE:
        tl.store(z + v, (x * factor).to(z.dtype.element_ty), mask=v < V)
    else:
        for v0 in range(0, V, BV):
            x = tl.load(z + v0 + v, mask=v0 + v < V, other=float("-inf")).to(tl.float32)  # [BV]
            tl.store(z + v0 + v, (exp(x - top) * factor).to(z.dtype.element_ty), mask=v0 + v < V)
    tl.debug_barrier()  # the patch goes on top
    tl.store(z + token, (slot * times).to(z.dtype.element_ty), mask=keep)


@triton.jit
def _absorb_kernel(
    z, z_stride, ids, top, rest, patch_logits, first, V, K, BK: tl.constexpr, BV: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    z += row * z_stride
    k = tl.arange(0, BK)
    token = tl.load(ids + row * K + k, mask=k < K, other=-1)  # [BK]
    here = (token >= first) & (token < first + V)
    zu = tl.load(z + token - first, mask=here, other=0.0).to(tl.float32)  # [BK]
    tl.store(patch_logits + row * K + k, zu, mask=here)
    tl.debug_barrier()
    tl.store(z + token - first, tl.full((BK,), float("-inf"), tl.float32).to(z.dtype.element_ty), mask=here)
    tl.debug_barrier()
    v = tl.arange(0, BV)
    high = tl.maximum(tl.load(top + row), -3e38)
    total = tl.load(rest + row)
    for v0 in range(0, V, BV):
        x = tl.load(z + v0 + v, mask=v0 + v < V, other=float("-inf")).to(tl.float32)  # [BV]
        higher = tl.maximum(high, tl.max(x, 0))
        total = total * exp(high - higher) + tl.sum(exp(x - higher), 0)
        high = higher
    tl.store(top + row, high)
    tl.store(rest + row, total)


@triton.jit
def _tile_gradient_kernel(
    z, z_stride, ids, top, factor, slot, scale, first, V, K, BK: tl.constexpr, BV: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    z += row * z_stride
    high, times = tl.load(top + row), tl.load(scale + row)
    inner = tl.load(factor + row) * times
    v = tl.arange(0, BV)
    for v0 in range(0, V, BV):
        x = tl.load(z + v0 + v, mask=v0 + v < V, other=float("-inf")).to(tl.float32)  # [BV]
        tl.store(z + v0 + v, (exp(x - high) * inner).to(z.dtype.element_ty), mask=v0 + v < V)
    tl.debug_barrier()
    k = tl.arange(0, BK)
    token = tl.load(ids + row * K + k, mask=k < K, other=-1)  # [BK]
    here = (token >= first) & (token < first + V)
    value = tl.load(slot + row * K + k, mask=here, other=0.0)
    tl.store(z + token - first, (value * times).to(z.dtype.element_ty), mask=here)


def bytes_per_logit(dtype: torch.dtype) -> int:
    """Rows are worked on in registers."""
    return dtype.itemsize


def bytes_per_slot() -> int:
    """The rows schedule holds a row's patch in registers too."""
    return 0


@cache
def _plain(vocab_size: int, device: torch.device) -> Table:
    """The table of plain cross-entropy: each token is its own only special token."""
    ids = torch.arange(vocab_size, device=device, dtype=torch.int32)[:, None]
    return Table(ids, torch.ones_like(ids), 1)


def view(tables: list[Tensor], widths: list[int], vocab_size: int, device: torch.device) -> Table:
    """The patch table from its operator arguments."""
    if not tables:
        return _plain(vocab_size, device)
    ids, bits = tables
    return Table(ids, bits, 1 + len(widths))


def patch_of(groups: Table, target: Tensor) -> Patch:
    """The patch of each row, as pytorch.py gives it, but with id -1 where keep is False. target: int64 [n]."""
    ids = groups.ids[target]  # [n, K]
    level = torch.arange(groups.levels, device=ids.device, dtype=torch.int32)  # [J]
    return Patch(ids, (groups.bits[target][..., None] >> level) & 1 == 1, ids >= 0)


def rows_(
    tile: Tensor, groups: Table, target: Tensor, scale: Tensor, coefficients: list[float], z_loss: float
) -> tuple[Tensor, Tensor]:
    """Rows schedule: a tile of whole rows becomes its gradient times scale [n]; returns loss and LSE [n]."""
    n, size = tile.shape
    loss = torch.empty(n, dtype=torch.float32, device=tile.device)  # [n]
    lse = torch.empty_like(loss)  # [n]
    one = size <= ONE_SWEEP
    columns = triton.next_power_of_2(size) if one else TWO_SWEEPS
    slots = groups.ids.shape[1]
    _rows_kernel[(n,)](
        tile,
        tile.stride(0),
        target,
        scale,
        groups.ids,
        groups.bits,
        coefficients_on(tuple(coefficients), tile.device),
        loss,
        lse,
        size,
        slots,
        float(z_loss),
        J=groups.levels,
        BK=triton.next_power_of_2(slots),
        BV=columns,
        ONE=one,
        num_warps=_warps(columns) if one else 16,
        maxnreg=64,  # so that two rows share a multiprocessor
    )
    return loss, lse


def stream(
    hidden: Tensor,
    weight: Tensor,
    target: Tensor,
    groups: Table,
    coefficients: list[float],
    z_loss: float,
    keep_slots: bool,
) -> Stats | None:
    """The whole streaming schedule in kernels of its own; None where the kernels per tile serve better.

    That is where patches are large, and where the vocabulary schedule is to follow in fp32: its products are the
    library's, and must agree with the statistics to the last bits (see stream_triton.py).
    """
    if groups.ids.shape[1] > stream_triton.SLOTS or (keep_slots and hidden.dtype == torch.float32):
        return None
    return stream_triton.streaming(hidden, weight, target, groups, coefficients, z_loss, keep_slots)


def absorb_(tile: Tensor, first: int, patch: Patch, top: Tensor, rest: Tensor, patch_logits: Tensor) -> None:
    """Streaming: fold a tile of logits into the running top, rest and patch_logits (see pytorch.py)."""
    size, slots = tile.shape[1] - 1, patch.ids.shape[1]
    columns = min(triton.next_power_of_2(size), 8192)
    _absorb_kernel[(len(tile),)](
        tile,
        tile.stride(0),
        patch.ids,
        top,
        rest,
        patch_logits,
        first,
        size,
        slots,
        BK=triton.next_power_of_2(slots),
        BV=columns,
        num_warps=_warps(columns),
    )


def tile_gradient_(tile: Tensor, first: int, patch: Patch, stats: Stats, scale: Tensor) -> None:
    """Vocabulary schedule: a tile of logits becomes its gradient times scale [n] (see pytorch.py)."""
    size, slots = tile.shape[1] - 1, patch.ids.shape[1]
    columns = min(triton.next_power_of_2(size), 8192)
    _tile_gradient_kernel[(len(tile),)](
        tile,
        tile.stride(0),
        patch.ids,
        stats.top,
        stats.rest,
        stats.slot,
        scale,
        first,
        size,
        slots,
        BK=triton.next_power_of_2(slots),
        BV=columns,
        num_warps=_warps(columns),
    )


@triton.jit
def _scale_kernel(values, factor, count, BLOCK: tl.constexpr):
    times = tl.load(factor).to(tl.float32)
    if times != 1.0:
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(values + at, mask=at < count, other=0.0).to(tl.float32)
        tl.store(values + at, (x * times).to(values.dtype.element_ty), mask=at < count)


def scale_(values: Tensor, factor: Tensor) -> None:
    """values *= factor [], without touching memory where the factor is one, which only the device knows."""
    _scale_kernel[(triton.cdiv(values.numel(), 8192),)](
        values, factor, values.numel(), BLOCK=8192, num_warps=8
    )


def _warps(columns: int) -> int:
    """About 32 numbers per thread, which is what the sweep keeps in registers."""
    return min(16, max(1, columns // 1024)) if columns <= 16384 else 32
