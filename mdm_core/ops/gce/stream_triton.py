"""The streaming schedule of grouped cross-entropy as two Triton kernels: the loss alone, logits never stored.

Legend
    N, D, V     rows, width, vocabulary             BM, BV, BD   the product's tile: rows, columns, depth
    S           stretches of the vocabulary         K, BK        patch slots per row, rounded up to 2^i

The first kernel multiplies tile after tile of a stretch and keeps of each row the maximum and the exp-sum of
the logits outside its patch. The second, one program per row, merges the S records, computes the K patch
logits as dot products, and from these the objective (see row_stats in pytorch.py). 8 bytes per row and
stretch lie in memory in between, for a few thousand rows at a time.

Where a gradient is to follow, logits are rounded to KIND, as the library will round them when the vocabulary
schedule computes them again: exp(z - LSE) of a sure row is only as exact as the two agree.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdm_core.ops.gce.pytorch import Stats
from mdm_core.ops.gce.row_triton import Table, coefficients_on, row_objective
from mdm_core.ops.product_triton import exp, logits_tile, operands, stretch
from mdm_core.ops.shared_memory_triton import fit_on, launch

TILE_HALF = (128, 256, 64, 8, 3)  # BM, BV, BD, warps and pipeline stages for bf16 and fp16 heads
TILE_FULL = (64, 64, 32, 8, 2)  # the same for fp32 heads
RECORD_BYTES = 4 << 20
KINDS = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
SLOTS = 64  # more patch slots than this are better served by objective_triton's kernels


@triton.jit
def _stretch_kernel(
    h,
    w,
    w_stride,
    target,
    ids,
    top,
    rest,
    N,
    V,
    K,
    S,
    D: tl.constexpr,
    BM: tl.constexpr,
    BV: tl.constexpr,
    BD: tl.constexpr,
    TILES: tl.constexpr,
    EVEN: tl.constexpr,
    BULK: tl.constexpr,
    KIND: tl.constexpr,
):
    row_tiles = tl.cdiv(N, BM)
    part = tl.program_id(0) // row_tiles  # neighbouring programs share a stretch of w
    row0 = (tl.program_id(0) % row_tiles) * BM
    rows = row0 + tl.arange(0, BM)  # [BM]
    live = rows < N
    y = tl.load(target + rows, mask=live, other=0).to(tl.int64)  # [BM]
    high = tl.full((BM,), float("-inf"), tl.float32)
    total = tl.zeros((BM,), tl.float32)
    for tile in range(part * TILES, min(part * TILES + TILES, tl.cdiv(V, BV))):
        first = tile * BV
        z = logits_tile(h, w, w_stride, row0, first, N, V, D, BM, BV, BD, BULK)  # [BM, BV]
        z = z.to(KIND).to(tl.float32)
        columns = first + tl.arange(0, BV)
        if not EVEN:
            z = tl.where(columns[None, :] < V, z, float("-inf"))
        for k in range(K):
            token = tl.load(ids + y * K + k)  # [BM]
            here = live & (token >= first) & (token < first + BV)
            if tl.max(here.to(tl.int32), 0) > 0:
                z = tl.where(columns[None, :] == token[:, None], float("-inf"), z)
        higher = tl.maximum(high, tl.max(z, 1))
        safe = tl.maximum(higher, -3e38)
        total = total * exp(high - safe) + tl.sum(exp(z - safe[:, None]), 1)
        high = higher
    record = rows.to(tl.int64) * S + part
    tl.store(top + record, high, mask=live)
    tl.store(rest + record, total, mask=live)


@triton.jit
def _finish_kernel(
    h,
    w,
    w_stride,
    target,
    ids,
    bits,
    coefficients,
    part_top,
    part_rest,
    loss,
    lse,
    top,
    factor,
    slot,
    K,
    S,
    z_loss,
    D: tl.constexpr,
    J: tl.constexpr,
    BK: tl.constexpr,
    BS: tl.constexpr,
    BD: tl.constexpr,
    KEEP: tl.constexpr,
    KIND: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    y = tl.load(target + row).to(tl.int64)
    k = tl.arange(0, BK)
    token = tl.load(ids + y * K + k, mask=k < K, other=-1).to(tl.int64)  # [BK]
    member = tl.load(bits + y * K + k, mask=k < K, other=0)  # [BK]
    keep = token >= 0
    d = tl.arange(0, BD)
    z = tl.zeros((BK,), tl.float32)
    for d0 in range(0, D, BD):
        x = tl.load(h + row * D + d0 + d, mask=d0 + d < D, other=0.0).to(tl.float32)  # [BD]
        at = token[:, None] * w_stride + d0 + d[None, :]  # [BK, BD]
        piece = tl.load(w + at, mask=keep[:, None] & (d0 + d < D)[None, :], other=0.0).to(tl.float32)
        z += tl.sum(piece * x[None, :], 1)
    z = tl.where(keep, z.to(KIND).to(tl.float32), float("-inf"))

    s = tl.arange(0, BS)
    peaks = tl.load(part_top + row * S + s, mask=s < S, other=float("-inf"))  # [BS]
    peak = tl.maximum(tl.max(peaks, 0), tl.max(z, 0))
    safe = tl.maximum(peak, -3e38)
    rest = tl.sum(tl.exp(peaks - safe) * tl.load(part_rest + row * S + s, mask=s < S, other=0.0), 0)
    row_loss, row_lse, slots, outside = row_objective(
        z - safe, rest, safe, member, keep, coefficients, z_loss, J
    )
    tl.store(loss + row, row_loss)
    tl.store(lse + row, row_lse)
    tl.store(top + row, safe)
    tl.store(factor + row, outside)
    if KEEP:
        tl.store(slot + row * K + k, slots, mask=k < K)


def streaming(
    hidden: Tensor,  # [N, D]
    weight: Tensor,  # [V, D], the same dtype
    target: Tensor,  # int64 [N], in range
    groups: Table,
    coefficients: list[float],
    z_loss: float,
    keep_slots: bool,
) -> Stats:
    """Every row's statistics (see schedules.streaming)."""
    hidden = hidden.contiguous()  # [N, D]
    weight = weight if weight.stride(1) == 1 else weight.contiguous()  # [V, D]
    (count, width), size, slots = hidden.shape, weight.shape[0], groups.ids.shape[1]
    tile = TILE_HALF if weight.element_size() == 2 else TILE_FULL
    rows, columns, depth, warps, stages = fit_on(tile, weight.element_size(), 0, hidden.device)
    tiles, stretches = stretch(size, columns)
    kind = KINDS.get(weight.dtype, tl.float32) if keep_slots else tl.float32
    chunk = max(rows, RECORD_BYTES // (8 * stretches) // rows * rows)
    records = torch.empty(2, min(chunk, count), stretches, device=hidden.device)
    top, lse, loss, rest = (torch.empty(count, device=hidden.device) for _ in range(4))  # [N] each
    slot = top.new_empty(count, slots if keep_slots else 0)  # [N, K]
    for first in range(0, count, chunk):
        part = slice(first, min(first + chunk, count))
        n = part.stop - first
        h, w, bulk = operands(hidden[part], weight, rows, columns, depth)
        launch(
            _stretch_kernel,
            (triton.cdiv(n, rows) * stretches,),
            stages,
            h,
            w,
            weight.stride(0),
            target[part],
            groups.ids,
            *records,
            n,
            size,
            slots,
            stretches,
            D=width,
            BM=rows,
            BV=columns,
            BD=depth,
            TILES=tiles,
            EVEN=size % columns == 0,
            BULK=bulk,
            KIND=kind,
            num_warps=warps,
        )
        _finish_kernel[(n,)](
            hidden[part],
            weight,
            weight.stride(0),
            target[part],
            groups.ids,
            groups.bits,
            coefficients_on(tuple(coefficients), hidden.device),
            *records,
            loss[part],
            lse[part],
            top[part],
            rest[part],
            slot[part],
            slots,
            stretches,
            float(z_loss),
            D=width,
            J=groups.levels,
            BK=triton.next_power_of_2(slots),
            BS=triton.next_power_of_2(stretches),
            BD=min(256, triton.next_power_of_2(width)),
            KEEP=keep_slots,
            KIND=kind,
            num_warps=2,
        )
    return Stats(top, lse, loss, slot, rest)
