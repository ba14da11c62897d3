"""The sampling step's product: a program multiplies one stretch of the vocabulary and keeps seven numbers a row.

Legend
    N, D, V     rows, width, vocabulary             BM, BV, BD   the product's tile: rows, columns, depth
    S           stretches of the vocabulary         B, 64        blocks of the vocabulary, token ids in each

What the numbers are, and who merges them: see sample_triton.py.
"""

from __future__ import annotations

import triton
import triton.language as tl

from mdm_core.ops.noise import BLOCK
from mdm_core.ops.product_triton import logits_tile

assert BLOCK == 64, "the kernels below are written for blocks of 64 token ids"


@triton.jit
def whole_power(top):
    """The whole power of two at or above e^top: exp-sums relative to it are rescaled without rounding."""
    return tl.ceil(tl.maximum(top, -1e30) * 1.4426950408889634)


@triton.jit
def _pick(z, at, BM: tl.constexpr, BLOCKS: tl.constexpr):
    """[BM, 64]: of each row of z [BM, BLOCKS, 64] the block `at` [BM]; BLOCKS is 1, 2 or 4."""
    if BLOCKS == 4:
        even, odd = tl.split(tl.permute(tl.reshape(z, (BM, 2, 2, 64)), (0, 1, 3, 2)))  # [BM, 2, 64] each
        z = tl.where(((at & 1) == 0)[:, None, None], even, odd)
        at = at >> 1
    if BLOCKS == 1:
        mine = tl.reshape(z, (BM, 64))
    else:
        low, high = tl.split(tl.permute(z, (0, 2, 1)))  # [BM, 64] each
        mine = tl.where((at == 0)[:, None], low, high)
    return mine


@triton.jit
def _store(z, logits, row0, tile, N, V, BM: tl.constexpr, BV: tl.constexpr, EVEN: tl.constexpr):
    """Leave a tile of logits z [BM, BV] in memory, [N, V].

    Block by block: on its way to whole lines of memory a tensor passes through shared memory, and all of z beside the
    operands of the product's stages is more than there is of it.
    """
    row, lane = tl.arange(0, BM), tl.arange(0, 64)
    live = (row0 + row < N)[:, None]
    line = logits + row0.to(tl.int64) * V + row[:, None] * V  # [BM, 1]
    blocks: tl.constexpr = BV // 64
    z = tl.reshape(z, (BM, blocks, 64))
    for i in tl.static_range(blocks):
        column = tile * BV + i * 64 + lane
        keep = live
        if not EVEN:
            keep = live & (column < V)[None, :]
        tl.store(line + column[None, :], _pick(z, tl.full((BM,), i, tl.int32), BM, blocks), mask=keep)


@triton.jit
def _absorb(
    z,
    tile,
    noise,
    rows,
    live,
    inner_at,
    best_inner,
    drawn_inner,
    V,
    B,
    inverse_t,
    high,
    rival,
    won,
    total,
    turn,
    reference,
    best_block,
    drawn_block,
    BM: tl.constexpr,
    BV: tl.constexpr,
    UNIT: tl.constexpr,
    GREEDY: tl.constexpr,
    EVEN: tl.constexpr,
):
    """The running numbers of BM rows, high to drawn_block, after one more tile of logits z [BM, BV]."""
    blocks: tl.constexpr = BV // 64
    place = tl.arange(0, blocks)
    if not EVEN:
        z = tl.where(tile * BV + tl.arange(0, BV)[None, :] < V, z, float("-inf"))
    z = tl.reshape(z, (BM, blocks, 64))
    peaks = tl.max(z, 2)  # [BM, blocks]
    peaks = tl.where(peaks == peaks, peaks, float("-inf"))  # NaN shows in the sums, and wins nothing
    peak, at = tl.max(peaks, 1, return_indices=True)  # [BM]
    others = tl.max(tl.where(place[None, :] == at[:, None], float("-inf"), peaks), 1)  # [BM]
    wins = peak > high
    rival = tl.maximum(tl.maximum(rival, others), tl.where(wins, high, peak))
    best_block = tl.where(wins, tile * blocks + at, best_block)
    mine = _pick(z, at, BM, blocks)  # [BM, 64]
    tl.store(best_inner + inner_at, mine, mask=(wins & live)[:, None])

    high = tl.maximum(high, peak)
    higher = whole_power(high)
    t = tl.fma(z, 1.4426950408889634, -higher[:, None, None])  # [BM, blocks, 64]  log2 of e^z / 2^higher
    e = tl.exp2(t)
    inside = tl.sum(e, 2)  # [BM, blocks]
    down = reference - higher
    shrink = tl.exp2(down)
    t = tl.maximum(t, -150.0)  # 2^-150 counts for nothing, and 0 * -inf would be NaN
    turn = shrink * (turn + down * total) + tl.sum(tl.sum(e * t, 2), 1)
    total = shrink * total + tl.sum(inside, 1)
    reference = higher

    if not GREEDY:
        if not UNIT:
            lower = (reference * inverse_t)[:, None, None]
            inside = tl.sum(tl.exp2(tl.fma(z, 1.4426950408889634 * inverse_t, -lower)), 2)
        index = tile * blocks + place
        noisy = tl.load(
            noise + rows.to(tl.int64)[:, None] * B + index[None, :],
            mask=live[:, None] & (index < B)[None, :],
            other=float("-inf"),
        )
        noisy += tl.log(inside) + (reference * 0.6931471805599453 * inverse_t)[:, None]
        noisy = tl.where(noisy == noisy, noisy, float("-inf"))
        value, at = tl.max(noisy, 1, return_indices=True)  # [BM]
        wins = value > won
        won = tl.where(wins, value, won)
        drawn_block = tl.where(wins, tile * blocks + at, drawn_block)
        mine = _pick(z, at, BM, blocks)  # [BM, 64]
        tl.store(drawn_inner + inner_at, mine, mask=(wins & live)[:, None])
    return high, rival, won, total, turn, reference, best_block, drawn_block


@triton.jit
def _stretch_kernel(
    h,
    w,
    w_stride,
    noise,
    top,
    mass,
    moment,
    second,
    score,
    best,
    block,
    best_inner,
    drawn_inner,
    logits,
    N,
    V,
    B,
    S,
    inverse_t,
    D: tl.constexpr,
    BM: tl.constexpr,
    BV: tl.constexpr,
    BD: tl.constexpr,
    TILES: tl.constexpr,
    UNIT: tl.constexpr,
    GREEDY: tl.constexpr,
    EVEN: tl.constexpr,
    BULK: tl.constexpr,
    HELD: tl.constexpr,
    FLAT: tl.constexpr,
    STORE: tl.constexpr,
):
    if HELD:
        inverse_t = tl.load(inverse_t)
    row_tiles = tl.cdiv(N, BM)
    part = tl.program_id(0) // row_tiles  # neighbouring programs share a stretch of w
    row0 = (tl.program_id(0) % row_tiles) * BM
    rows = row0 + tl.arange(0, BM)  # [BM]
    live = rows < N
    record = rows.to(tl.int64) * S + part  # [BM]
    inner_at = record[:, None] * 64 + tl.arange(0, 64)[None, :]  # [BM, 64]
    high = tl.full((BM,), float("-inf"), tl.float32)
    rival = high
    won = high
    total = tl.zeros((BM,), tl.float32)
    turn = total
    reference = whole_power(high)
    best_block = tl.zeros((BM,), tl.int32)
    drawn_block = best_block
    stop = min(part * TILES + TILES, tl.cdiv(V, BV))
    if FLAT:  # one loop with the product's own: the next tile is fetched while this one is worked on
        for tile in tl.range(part * TILES, stop, flatten=True):
            z = logits_tile(h, w, w_stride, row0, tile * BV, N, V, D, BM, BV, BD, BULK)  # [BM, BV]
            if STORE:
                _store(z, logits, row0, tile, N, V, BM, BV, EVEN)
            high, rival, won, total, turn, reference, best_block, drawn_block = _absorb(
                z,
                tile,
                noise,
                rows,
                live,
                inner_at,
                best_inner,
                drawn_inner,
                V,
                B,
                inverse_t,
                high,
                rival,
                won,
                total,
                turn,
                reference,
                best_block,
                drawn_block,
                BM,
                BV,
                UNIT,
                GREEDY,
                EVEN,
            )
    else:
        for tile in range(part * TILES, stop):
            z = logits_tile(h, w, w_stride, row0, tile * BV, N, V, D, BM, BV, BD, BULK)  # [BM, BV]
            if STORE:
                _store(z, logits, row0, tile, N, V, BM, BV, EVEN)
            high, rival, won, total, turn, reference, best_block, drawn_block = _absorb(
                z,
                tile,
                noise,
                rows,
                live,
                inner_at,
                best_inner,
                drawn_inner,
                V,
                B,
                inverse_t,
                high,
                rival,
                won,
                total,
                turn,
                reference,
                best_block,
                drawn_block,
                BM,
                BV,
                UNIT,
                GREEDY,
                EVEN,
            )

    tl.store(top + record, high, mask=live)
    tl.store(mass + record, total, mask=live)
    tl.store(moment + record, turn, mask=live)
    tl.store(second + record, rival, mask=live)
    tl.store(score + record, won, mask=live)
    tl.store(best + record, best_block, mask=live)
    tl.store(block + record, drawn_block, mask=live)
