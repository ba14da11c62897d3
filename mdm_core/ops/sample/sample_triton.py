"""One sampling step's decision data in Triton: the head's product with everything else in its epilogue.

Legend
    N, D, V     rows, width, vocabulary             BM, BV, BD   the product's tile: rows, columns, depth
    S           stretches of the vocabulary         64           token ids per block (see noise.py)

Three kernels, and logits never reach memory, unless top-k or top-p rank them:

    prepare    the hidden states in the head's type, and the Gumbel noise of every row's blocks [N, V / 64]
    stretch    a program multiplies tile after tile of its stretch for BM rows and keeps of each row seven
               numbers: maximum, exp-sum and moment at temperature 1, the best block, the largest maximum of
               any other block, the winning block and its noisy score. The 64 logits of either block go to
               memory when a better one comes (see stretch_triton.py).
    finish     one program per row merges the S records and draws the token inside the winning block

With top-k or top-p the stretches draw nothing and leave the logits of some rows in memory, where a fourth kernel finds
each row's set and draws the block in it (see limits_triton.py).

A row's numbers are added up in an order that depends on nothing but V, so the batch cannot change them.
"""

from __future__ import annotations

import inspect

import torch
import triton
import triton.language as tl
from torch import Tensor

from mdm_core.ops.noise import BLOCK
from mdm_core.ops.noise_triton import gumbel
from mdm_core.ops.product_triton import operands, stretch
from mdm_core.ops.sample import limits_triton
from mdm_core.ops.sample.stretch_triton import _stretch_kernel, whole_power
from mdm_core.ops.shared_memory_triton import Tile, fit_on, launch

# what is raised where not even the smallest variant of a kernel fits
NoRoom = triton.runtime.errors.OutOfResources

TILE_HALF = (128, 256, 64, 8, 3)  # BM, BV, BD, warps and pipeline stages for bf16 and fp16 heads
TILE_FULL = (64, 64, 32, 8, 2)  # the same for fp32 heads
FLATTENS = "flatten" in inspect.signature(tl.range.__init__).parameters  # Triton 3.2 has no such loops
RECORD_BYTES = 64 << 20  # records of one row chunk: 540 bytes per row and stretch, 4 per row and block
LOGIT_BYTES = 64 << 20  # stored logits of one row chunk, but at least one tile's rows


@triton.jit(do_not_specialize=["step"])
def _prepare_kernel(
    source,
    h,
    seed,
    row_ids,
    noise,
    B,
    step,
    D: tl.constexpr,
    BD: tl.constexpr,
    BB: tl.constexpr,
    GREEDY: tl.constexpr,
    HELD: tl.constexpr,
):
    if HELD:
        step = tl.load(step)
    row = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, BD)
    for d0 in range(0, D, BD):
        x = tl.load(source + row * D + d0 + d, mask=d0 + d < D, other=0.0)
        tl.store(h + row * D + d0 + d, x.to(h.dtype.element_ty), mask=d0 + d < D)
    if not GREEDY:
        row_seed, row_id = tl.load(seed + row), tl.load(row_ids + row)
        for b0 in range(0, B, BB):
            index = (b0 + tl.arange(0, BB)).to(tl.int64)  # [BB]
            value = gumbel(row_seed, row_id, step, index, 0)
            tl.store(noise + row * B + index, value, mask=index < B)


@triton.jit(do_not_specialize=["step"])
def _finish_kernel(
    h,
    w,
    w_stride,
    seed,
    row_ids,
    current,
    top,
    mass,
    moment,
    second,
    score,
    best,
    block,
    best_inner,
    drawn_inner,
    token_out,
    confidence_out,
    best_out,
    best_p_out,
    second_p_out,
    current_p_out,
    entropy_out,
    V,
    S,
    step,
    inverse_t,
    D: tl.constexpr,
    BS: tl.constexpr,
    BD: tl.constexpr,
    GREEDY: tl.constexpr,
    HELD: tl.constexpr,
):
    if HELD:
        step, inverse_t = tl.load(step), tl.load(inverse_t)
    row = tl.program_id(0).to(tl.int64)
    s = tl.arange(0, BS)
    record, known = row * S + s, s < S  # [BS]
    lane = tl.arange(0, 64)

    peaks = tl.load(top + record, mask=known, other=float("-inf"))
    peak, part = tl.max(peaks, 0, return_indices=True)
    first = tl.load(best + row * S + part) * 64
    # a stretch without any number above -inf never wrote its block
    inner = tl.load(best_inner + (row * S + part) * 64 + lane)  # [64]
    inner = tl.where(first + lane < V, inner, float("-inf"))
    inner = tl.where(peak > float("-inf"), inner, float("-inf"))
    _, place = tl.max(inner, 0, return_indices=True)
    best_id = first + place
    rival = tl.maximum(
        tl.max(tl.where(s == part, float("-inf"), peaks), 0),
        tl.maximum(
            tl.load(second + row * S + part), tl.max(tl.where(lane == place, float("-inf"), inner), 0)
        ),
    )
    reference = whole_power(peak)
    down = whole_power(peaks) - reference  # [BS]
    scale = tl.exp2(down)
    each = tl.load(mass + record, mask=known, other=0.0)
    total = tl.sum(scale * each, 0)
    turn = tl.sum(scale * (tl.load(moment + record, mask=known, other=0.0) + down * each), 0)

    token, chosen = best_id, peak
    if not GREEDY:
        won, part = tl.max(tl.load(score + record, mask=known, other=float("-inf")), 0, return_indices=True)
        first = tl.load(block + row * S + part) * 64
        inner = tl.load(drawn_inner + (row * S + part) * 64 + lane)  # [64]
        inner = tl.where(first + lane < V, inner, float("-inf"))
        inner = tl.where(won > float("-inf"), inner, float("-inf"))
        noise = gumbel(
            tl.load(seed + row), tl.load(row_ids + row), step, (first + lane).to(tl.int64), 0x80000000
        )
        _, place = tl.max(inner * inverse_t + noise, 0, return_indices=True)
        token = first + place
        chosen = tl.sum(tl.where(lane == place, inner, 0.0), 0)

    now = tl.load(current + row)
    has_current = (now >= 0) & (now < V)
    now = tl.where(has_current, now, 0)
    d = tl.arange(0, BD)
    products = tl.zeros((BD,), tl.float32)
    for d0 in range(0, D, BD):
        x = tl.load(h + row * D + d0 + d, mask=d0 + d < D, other=0.0).to(tl.float32)  # [BD]
        products += x * tl.load(w + now * w_stride + d0 + d, mask=d0 + d < D, other=0.0).to(tl.float32)
    current_logit = tl.sum(products, 0)
    tl.store(token_out + row, token.to(tl.int64))
    tl.store(confidence_out + row, tl.exp2(tl.fma(chosen, 1.4426950408889634, -reference)) / total)
    tl.store(best_out + row, best_id.to(tl.int64))
    tl.store(best_p_out + row, tl.exp2(tl.fma(peak, 1.4426950408889634, -reference)) / total)
    tl.store(second_p_out + row, tl.exp2(tl.fma(rival, 1.4426950408889634, -reference)) / total)
    tl.store(
        current_p_out + row,
        tl.where(has_current, tl.exp2(tl.fma(current_logit, 1.4426950408889634, -reference)) / total, 0.0),
    )
    tl.store(entropy_out + row, 0.6931471805599453 * (tl.log2(total) - turn / total))


def needs(size: int) -> tuple[Tile, int, int]:
    """What `shared_memory_triton.fit_on` asks of the product with a head of `size` bytes a number.

    Behind the product a block of every row's logits at a time goes through shared memory, in fp32, its rows 16 bytes
    apart where the compiler keeps them from each other's banks (Triton 3.4).
    """
    tile = TILE_HALF if size == 2 else TILE_FULL
    return tile, size, tile[0] * (BLOCK * 4 + 16)


def sample_rows(
    hidden: Tensor,
    weight: Tensor,
    current: Tensor,
    temperature: float | Tensor,
    seed: Tensor,
    step: int | Tensor,
    row_ids: Tensor,
    top_k: int | Tensor | None = None,
    top_p: float | Tensor | None = None,
) -> tuple[Tensor, ...]:
    """The seven fields of SampleStep, each [N].

    temperature, step and the limits that are given: all numbers, or all held in tensors [].
    """
    hidden = hidden.contiguous()  # [N, D]
    weight = weight if weight.stride(1) == 1 else weight.contiguous()  # [V, D]
    (count, width), size = hidden.shape, weight.shape[0]
    rows, columns, depth, warps, stages = fit_on(*needs(weight.element_size()), hidden.device)
    tiles, stretches = stretch(size, columns)
    held = isinstance(step, Tensor)
    blocks, greedy = triton.cdiv(size, BLOCK), not held and temperature == 0
    limited = not greedy and (top_k is not None or top_p is not None)
    chunk = max(rows, RECORD_BYTES // (540 * stretches + 4 * blocks) // rows * rows)
    if limited:
        chunk = max(rows, min(chunk, LOGIT_BYTES // (4 * size) // rows * rows))
    n = min(chunk, count)
    floats = torch.empty(5, n, stretches, device=hidden.device)
    whole = torch.empty(2, n, stretches, device=hidden.device, dtype=torch.int32)  # best, block
    inner = torch.empty(2, n, stretches, BLOCK, device=hidden.device)
    h = torch.empty(n, width, device=hidden.device, dtype=weight.dtype)  # [n, D]  rounded once
    noise = torch.empty(0 if greedy else n, blocks, device=hidden.device)
    logits = torch.empty(n if limited else 0, size, device=hidden.device)  # [n, V]
    records = (*floats, *whole, *inner)
    token, best = torch.empty(2, count, device=hidden.device, dtype=torch.long)  # [N] each
    confidence, best_p, second_p, current_p, entropy = torch.empty(5, count, device=hidden.device)  # [N] each
    inverse_t: float | Tensor
    if isinstance(temperature, Tensor):
        inverse_t = temperature.double().reciprocal().float()  # []  rounded as a number is
    else:
        inverse_t = 1.0 if greedy else 1.0 / temperature
    for first in range(0, count, chunk):
        part = slice(first, min(first + chunk, count))
        n = part.stop - first
        _prepare_kernel[(n,)](
            hidden[part],
            h,
            seed[part],
            row_ids[part],
            noise,
            blocks,
            step,
            D=width,
            BD=min(1024, triton.next_power_of_2(width)),
            BB=min(512, triton.next_power_of_2(blocks)),
            GREEDY=greedy,
            HELD=held,
            num_warps=4,
        )
        tile_h, tile_w, bulk = operands(h[:n], weight, rows, columns, depth)
        launch(
            _stretch_kernel,
            (triton.cdiv(n, rows) * stretches,),
            stages,
            tile_h,
            tile_w,
            weight.stride(0),
            noise,
            *records,
            logits,
            n,
            size,
            blocks,
            stretches,
            inverse_t,
            D=width,
            BM=rows,
            BV=columns,
            BD=depth,
            TILES=tiles,
            UNIT=not held and inverse_t == 1.0,
            GREEDY=greedy or limited,
            EVEN=size % columns == 0,
            BULK=bulk,
            HELD=held,
            FLAT=FLATTENS,
            STORE=limited,
            num_warps=warps,
        )
        if limited:
            limits_triton.draw(logits[:n], noise, floats[4], whole[1], inner[1], inverse_t, top_k, top_p)
        _finish_kernel[(n,)](
            h,
            weight,
            weight.stride(0),
            seed[part],
            row_ids[part],
            current[part],
            *records,
            token[part],
            confidence[part],
            best[part],
            best_p[part],
            second_p[part],
            current_p[part],
            entropy[part],
            size,
            stretches,
            step,
            inverse_t,
            D=width,
            BS=triton.next_power_of_2(stretches),
            BD=min(1024, triton.next_power_of_2(width)),
            GREEDY=greedy,
            HELD=held,
            num_warps=2,
        )
    return token, confidence, best, best_p, second_p, current_p, entropy
