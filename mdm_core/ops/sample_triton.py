"""One sampling step's decision data in Triton: the head's product with everything else in its epilogue.

Legend
    N, D, V     rows, width, vocabulary             BM, BV, BD   the product's tile: rows, columns, depth
    T           column tiles, V / BV                64           token ids per block (see noise.py)

The first kernel multiplies a [BM, BV] tile of logits and reduces it on the spot to seven numbers per row:
maximum, exp-sum and moment at temperature 1, best token, second maximum, and the tile's winning block with
its noisy score. The second kernel, one program per row, merges the T records, recomputes the 64 logits of
the drawn block, and draws the token inside it. Logits never reach memory. A row's numbers are added up in
an order that depends on nothing but D and V, so the batch around it cannot change them.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdm_core.ops.noise import BLOCK

TILE_HALF = (128, 128, 64, 8, 3)  # BM, BV, BD, warps and pipeline stages for bf16 and fp16 heads
TILE_FULL = (64, 64, 32, 8, 2)  # the same for fp32 heads
RECORD_BYTES = 16 << 20  # records of one row chunk: 28 bytes per row and tile


@triton.jit
def _philox(c0, c1, c2, c3, k0, k1):
    """Philox-4x32-10 on uint32, the same bits as noise.philox."""
    a = tl.full((), 0xD2511F53, tl.uint32)
    b = tl.full((), 0xCD9E8D57, tl.uint32)
    for _ in tl.static_range(10):
        high0, low0 = tl.umulhi(c0, a), c0 * a
        high1, low1 = tl.umulhi(c2, b), c2 * b
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += tl.full((), 0x9E3779B9, tl.uint32)
        k1 += tl.full((), 0xBB67AE85, tl.uint32)
    return c0, c1, c2, c3


@triton.jit
def _gumbel(seed, row, step, index, base: tl.constexpr):
    """Gumbel noise (see noise.gumbel) at indices 2 base + index; seed and row int64, all broadcastable."""
    zero = (index + seed + row) * 0  # gives every word the full shape
    pair = (zero + (index >> 1)).to(tl.uint32) + tl.full((), base, tl.uint32)
    c0, c1, c2, c3 = _philox(
        pair,
        (zero + step).to(tl.uint32),
        (zero + row).to(tl.uint32),
        (zero + (row >> 32)).to(tl.uint32),
        (zero + seed).to(tl.uint32),
        (zero + (seed >> 32)).to(tl.uint32),
    )
    odd = (zero + (index & 1)) == 1
    high, low = tl.where(odd, c2, c0).to(tl.float32), tl.where(odd, c3, c1).to(tl.float32)
    v = high * 2.3283064365386963e-10 + (low * 5.421010862427522e-20 + 2.710505431213761e-20)
    v = tl.minimum(v, 1.0 - 5.9604644775390625e-08)
    u = 1.0 - v  # log(1 - v), without losing small v: the rounding error of 1 - v divides out
    log_u = tl.where(u == 1.0, -v, tl.log(u) * (v / tl.where(u == 1.0, 1.0, 1.0 - u)))
    return -tl.log(-log_u)


@triton.jit
def _tiles_kernel(
    h, w, w_stride, seed, row_ids, top, mass, moment, second, best, score, block, N, V, T, step, inverse_t,
    D: tl.constexpr, BM: tl.constexpr, BV: tl.constexpr, BD: tl.constexpr, UNIT: tl.constexpr,
):  # fmt: skip
    row_tiles = tl.cdiv(N, BM)
    tile = tl.program_id(0) // row_tiles  # neighbouring programs share a tile of w
    rows = (tl.program_id(0) % row_tiles) * BM + tl.arange(0, BM)  # [BM]
    columns = tile * BV + tl.arange(0, BV)  # [BV]
    d = tl.arange(0, BD)  # [BD]
    h_at = h + rows.to(tl.int64)[:, None] * D + d[None, :]  # [BM, BD]
    w_at = w + columns.to(tl.int64)[None, :] * w_stride + d[:, None]  # [BD, BV]
    z = tl.zeros((BM, BV), tl.float32)
    for d0 in range(0, D, BD):
        a = tl.load(h_at + d0, mask=(rows[:, None] < N) & (d0 + d[None, :] < D), other=0.0)
        b = tl.load(w_at + d0, mask=(columns[None, :] < V) & (d0 + d[:, None] < D), other=0.0)
        z = tl.dot(a, b, z, input_precision="ieee")
    z = tl.where(columns[None, :] < V, z, float("-inf"))  # [BM, BV]

    peak, place = tl.max(z, 1, return_indices=True)  # [BM]
    runner_up = tl.max(tl.where(tl.arange(0, BV)[None, :] == place[:, None], float("-inf"), z), 1)  # [BM]
    safe = tl.maximum(peak, -3e38)
    z -= safe[:, None]
    e = tl.exp(z)  # [BM, BV]
    record = rows.to(tl.int64) * T + tile  # [BM]
    live = rows < N
    tl.store(top + record, peak, mask=live)
    tl.store(mass + record, tl.sum(e, 1), mask=live)
    tl.store(moment + record, tl.sum(e * tl.maximum(z, -80.0), 1), mask=live)
    tl.store(second + record, runner_up, mask=live)
    tl.store(best + record, tile * BV + place, mask=live)

    if not UNIT:
        e = tl.exp(z * inverse_t)
    blocks: tl.constexpr = BV // 64
    inside = tl.sum(tl.reshape(e, (BM, blocks, 64)), 2)  # [BM, blocks]
    index = (tile * blocks + tl.arange(0, blocks)).to(tl.int64)[None, :]  # [1, blocks]
    row_seed = tl.load(seed + rows, mask=live, other=0)[:, None]  # [BM, 1]
    row_id = tl.load(row_ids + rows, mask=live, other=0)[:, None]  # [BM, 1]
    noisy = tl.log(inside) + (safe * inverse_t)[:, None] + _gumbel(row_seed, row_id, step, index, 0)
    value, winner = tl.max(noisy, 1, return_indices=True)  # [BM]
    tl.store(score + record, value, mask=live)
    tl.store(block + record, tile * blocks + winner, mask=live)


@triton.jit
def _finish_kernel(
    h, w, w_stride, seed, row_ids, current, top, mass, moment, second, best, score, block,
    token_out, confidence_out, best_out, best_p_out, second_p_out, current_p_out, entropy_out,
    V, T, step, inverse_t, D: tl.constexpr, BT: tl.constexpr, BD: tl.constexpr, GREEDY: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    t = tl.arange(0, BT)
    record, known = row * T + t, t < T  # [BT]

    peaks = tl.load(top + record, mask=known, other=float("-inf"))
    peak, place = tl.max(peaks, 0, return_indices=True)
    safe = tl.maximum(peak, -3e38)
    best_id = tl.load(best + row * T + place)
    rival = tl.maximum(
        tl.max(tl.where(t == place, float("-inf"), peaks), 0), tl.load(second + row * T + place)
    )
    down = tl.maximum(peaks - safe, -1e30)  # [BT]
    scale = tl.exp(down)
    part = tl.load(mass + record, mask=known, other=0.0)
    total = tl.sum(scale * part, 0)
    first_moment = tl.sum(scale * (tl.load(moment + record, mask=known, other=0.0) + down * part), 0)
    _, place = tl.max(tl.load(score + record, mask=known, other=float("-inf")), 0, return_indices=True)
    drawn = tl.load(block + row * T + place)

    ids = drawn * 64 + tl.arange(0, 64)  # [64]
    now = tl.load(current + row)
    has_current = (now >= 0) & (now < V)
    now = tl.where(has_current, now, 0)
    d = tl.arange(0, BD)
    inner = tl.zeros((64,), tl.float32)
    current_logit = 0.0
    for d0 in range(0, D, BD):
        inside = d0 + d < D
        x = tl.load(h + row * D + d0 + d, mask=inside, other=0.0).to(tl.float32)  # [BD]
        rows = tl.load(
            w + ids.to(tl.int64)[:, None] * w_stride + d0 + d[None, :],
            mask=(ids < V)[:, None] & inside[None, :],
            other=0.0,
        ).to(tl.float32)  # [64, BD]
        inner += tl.sum(rows * x[None, :], 1)
        mine = tl.load(w + now * w_stride + d0 + d, mask=inside, other=0.0).to(tl.float32)  # [BD]
        current_logit += tl.sum(mine * x, 0)
    inner = tl.where(ids < V, inner, float("-inf"))

    if GREEDY:
        token, chosen = best_id, peak
    else:
        lane = tl.arange(0, 64).to(tl.int64)
        noise = _gumbel(
            tl.load(seed + row), tl.load(row_ids + row), step, drawn.to(tl.int64) * 64 + lane, 0x80000000
        )  # fmt: skip
        _, place = tl.max(inner * inverse_t + noise, 0, return_indices=True)
        token = drawn * 64 + place
        chosen = tl.sum(tl.where(tl.arange(0, 64) == place, inner, 0.0), 0)
    log_total = tl.log(total)
    tl.store(token_out + row, token.to(tl.int64))
    tl.store(confidence_out + row, tl.exp(chosen - safe) / total)
    tl.store(best_out + row, best_id.to(tl.int64))
    tl.store(best_p_out + row, tl.exp(peak - safe) / total)
    tl.store(second_p_out + row, tl.exp(rival - safe) / total)
    tl.store(current_p_out + row, tl.where(has_current, tl.exp(current_logit - safe) / total, 0.0))
    tl.store(entropy_out + row, log_total - first_moment / total)


def sample_rows(
    hidden: Tensor,
    weight: Tensor,
    current: Tensor,
    temperature: float,
    seed: Tensor,
    step: int,
    row_ids: Tensor,
) -> tuple[Tensor, ...]:
    """The seven fields of SampleStep, each [N]."""
    hidden = hidden.to(weight.dtype).contiguous()  # [N, D]  rounded once
    weight = weight if weight.stride(1) == 1 else weight.contiguous()  # [V, D]
    (count, width), size = hidden.shape, weight.shape[0]
    rows, columns, depth, warps, stages = TILE_HALF if weight.element_size() == 2 else TILE_FULL
    tiles = triton.cdiv(size, columns)
    chunk = max(rows, RECORD_BYTES // (28 * tiles) // rows * rows)
    floats = torch.empty(5, min(chunk, count), tiles, device=hidden.device)
    whole = torch.empty(2, min(chunk, count), tiles, device=hidden.device, dtype=torch.int32)  # best, block
    token, best = (torch.empty(count, device=hidden.device, dtype=torch.long) for _ in range(2))  # [N]
    confidence, best_p, second_p, current_p, entropy = torch.empty(5, count, device=hidden.device)  # [N] each
    inverse_t = 1.0 / temperature if temperature > 0 else 1.0
    for first in range(0, count, chunk):
        part = slice(first, min(first + chunk, count))
        n = part.stop - first
        top, mass, moment, second, score = floats  # [n, T] each
        _tiles_kernel[(triton.cdiv(n, rows) * tiles,)](
            hidden[part], weight, weight.stride(0), seed[part], row_ids[part],
            top, mass, moment, second, whole[0], score, whole[1], n, size, tiles, step, inverse_t,
            D=width, BM=rows, BV=columns, BD=depth, UNIT=inverse_t == 1.0, num_warps=warps, num_stages=stages,
        )  # fmt: skip
        _finish_kernel[(n,)](
            hidden[part], weight, weight.stride(0), seed[part], row_ids[part], current[part],
            top, mass, moment, second, whole[0], score, whole[1],
            token[part], confidence[part], best[part], best_p[part], second_p[part], current_p[part],
            entropy[part], size, tiles, step, inverse_t,
            D=width, BT=triton.next_power_of_2(tiles), BD=min(256, triton.next_power_of_2(width)),
            GREEDY=temperature == 0, num_warps=4,
        )  # fmt: skip
    return token, confidence, best, best_p, second_p, current_p, entropy


assert BLOCK == 64, "the kernels above are written for blocks of 64 token ids"
