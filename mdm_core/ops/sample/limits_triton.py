"""Top-k and top-p of a sampling step: one program ranks a row's stored logits without sorting them, and draws.

Legend
    V        vocabulary                 W, PIECES    columns that a program holds at once, and how often it takes to V
    key      int32, ordered as the logits are; equal logits have equal keys, and NaN ranks as -inf

A set of most likely tokens is all that lie above some key, and of those at the key the lowest ids. Both limits ask for
the smallest key above which less than so much lies: top-k counts tokens, top-p adds up their probability. That is
found by halving the range of keys, which ends when one token is left in it, after some twenty sweeps over a row that
stays in registers, or in the cache where it is longer. The sums have one order and only grow when more is in them, so
halving is exact.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

PIECE = 8192  # columns of a row held at once: more would spill


@triton.jit
def _piece(row, number, V, W: tl.constexpr):
    """Logits [W], their keys and ids; what lies beyond V is below every key that is asked for."""
    ids = number * W + tl.arange(0, W)
    z = tl.load(row + ids, mask=ids < V, other=float("-inf"))
    z = tl.where(z == z, z, float("-inf"))
    bits = tl.where(z == 0.0, 0.0, z).to(tl.int32, bitcast=True)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return z, tl.where(ids < V, key, -2147483647), ids


@triton.jit
def _above(row, z, key, bound, top, rate, V, W: tl.constexpr, PIECES: tl.constexpr):
    """How many tokens lie above a key, and their weight, e^((z - top) / temperature) each."""
    if PIECES == 1:
        over = key > bound
        count = tl.sum(over.to(tl.int32), 0)
        mass = tl.sum(tl.where(over, tl.exp2((z - top) * rate), 0.0), 0)
    else:
        counts, masses = tl.zeros((W,), tl.int32), tl.zeros((W,), tl.float32)
        for number in range(PIECES):
            z, key, _ = _piece(row, number, V, W)
            over = key > bound
            counts += over.to(tl.int32)
            masses += tl.where(over, tl.exp2((z - top) * rate), 0.0)
        count, mass = tl.sum(counts, 0), tl.sum(masses, 0)
    return count, mass


@triton.jit
def _tied(row, key, bound, last, V, W: tl.constexpr, PIECES: tl.constexpr):
    """How many tokens up to id `last` have this key."""
    if PIECES == 1:
        count = tl.sum(((key == bound) & (tl.arange(0, W) <= last)).to(tl.int32), 0)
    else:
        counts = tl.zeros((W,), tl.int32)
        for number in range(PIECES):
            _, key, ids = _piece(row, number, V, W)
            counts += ((key == bound) & (ids <= last)).to(tl.int32)
        count = tl.sum(counts, 0)
    return count


@triton.jit
def _search(
    row, z, key, low, low_count, high, enough, by_mass, top, rate, V, W: tl.constexpr, PIECES: tl.constexpr
):
    """The smallest key with less than `enough` above it lies in (low, high]; int64 keys.

    Returns a key, how many tokens lie above it and what they weigh, and how many have it. Where a single token was
    left, the key is one below it, at which there is none, and the weight has no meaning.
    """
    high_count, high_mass = _above(row, z, key, high.to(tl.int32), top, rate, V, W, PIECES)
    while (high - low > 1) & (low_count - high_count > 1):
        middle = low + (high - low) // 2
        count, mass = _above(row, z, key, middle.to(tl.int32), top, rate, V, W, PIECES)
        amount = tl.where(by_mass, mass, count.to(tl.float32))
        up = amount >= enough
        low, low_count = tl.where(up, middle, low), tl.where(up, count, low_count)
        high, high_count = tl.where(up, high, middle), tl.where(up, high_count, count)
        high_mass = tl.where(up, high_mass, mass)
    single = low_count - high_count <= 1
    return (
        tl.where(single, low, high),
        tl.where(single, low_count, high_count),
        high_mass,
        tl.where(single, 0, low_count - high_count),
    )


@triton.jit(do_not_specialize=["top_k"])
def limit_kernel(
    logits,
    noise,
    score,
    block,
    drawn_inner,
    V,
    B,
    S,
    inverse_t,
    top_k,
    top_p,
    W: tl.constexpr,
    PIECES: tl.constexpr,
    BS: tl.constexpr,
    HELD: tl.constexpr,
):
    """Draws a block of a row's limited set, and leaves it as the stretches of an unlimited draw leave theirs.

    logits: [n, V]. noise: [n, B] of the blocks. score, block: [n, S]; drawn_inner: [n, S, 64], see sample_triton.py.
    top_k: V and more for no limit; top_p: above 1 for none.
    """
    if HELD:
        inverse_t, top_k, top_p = tl.load(inverse_t), tl.load(top_k), tl.load(top_p).to(tl.float32)
    number = tl.program_id(0).to(tl.int64)
    row = logits + number * V
    rate = inverse_t * 1.4426950408889634
    z, key, ids = _piece(row, 0, V, W)
    peak = tl.max(z, 0)
    highest = tl.max(key, 0)
    if PIECES > 1:
        for i in range(1, PIECES):
            more, more_keys, _ = _piece(row, i, V, W)
            peak, highest = tl.maximum(peak, tl.max(more, 0)), tl.maximum(highest, tl.max(more_keys, 0))
    top = tl.maximum(peak, -3.0e38)

    # the set is what lies above `bound`, and at it the lowest `room` ids
    bound = tl.full((), -2139095042, tl.int64)  # below the key of -inf
    highest = highest.to(tl.int64)
    room, ties = tl.full((), 0, tl.int32), tl.full((), 0, tl.int32)
    count = V + room
    if top_k < V:
        bound, count, _, ties = _search(
            row, z, key, bound, count, highest, top_k.to(tl.float32), False, top, rate, V, W, PIECES
        )
        room = tl.where(ties > 0, (top_k - count).to(tl.int32), 0)
    if top_p <= 1.0:
        _, mass = _above(row, z, key, bound.to(tl.int32), top, rate, V, W, PIECES)
        bits = bound.to(tl.int32)
        value = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
        each = tl.where(room > 0, tl.exp2((value - top) * rate), 0.0)
        enough = top_p * (mass + room.to(tl.float32) * each)
        if mass >= enough:
            bound, count, mass, ties = _search(
                row, z, key, bound, count, highest, enough, True, top, rate, V, W, PIECES
            )
            bits = bound.to(tl.int32)
            value = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)
            each, room = tl.exp2((value - top) * rate), ties
        if room > 0:
            wanted = tl.ceil((enough - mass) / each)
            room = tl.minimum(tl.maximum(wanted, 1.0), room.to(tl.float32)).to(tl.int32)
    edge = bound.to(tl.int32)
    last = tl.where(room > 0, room * 0 + V, room * 0 - 1)
    if (room > 0) & (room < ties):  # the id that ends the set
        before = tl.full((), -1, tl.int32)
        last = before + V
        while last - before > 1:
            middle = (before + last) // 2
            enough_ids = _tied(row, key, edge, middle, V, W, PIECES) >= room
            before, last = tl.where(enough_ids, before, middle), tl.where(enough_ids, middle, last)

    won, drawn = tl.full((), float("-inf"), tl.float32), tl.full((), 0, tl.int32)
    for i in range(PIECES):
        if PIECES > 1:
            z, key, ids = _piece(row, i, V, W)
        inside = (key > edge) | ((key == edge) & (ids <= last))
        weights = tl.where(inside, tl.exp2((z - top) * rate), 0.0)
        index = i * (W // 64) + tl.arange(0, W // 64)
        noisy = tl.log(tl.sum(tl.reshape(weights, (W // 64, 64)), 1))  # [W / 64]
        noisy += tl.load(noise + number * B + index, mask=index < B, other=float("-inf"))
        noisy = tl.where(noisy == noisy, noisy, float("-inf"))
        value, at = tl.max(noisy, 0, return_indices=True)
        wins = value > won
        won, drawn = tl.where(wins, value, won), tl.where(wins, i * (W // 64) + at, drawn)

    lane = tl.arange(0, 64)
    ids = drawn * 64 + lane
    z = tl.load(row + ids, mask=ids < V, other=float("-inf"))
    z = tl.where(z == z, z, float("-inf"))
    bits = tl.where(z == 0.0, 0.0, z).to(tl.int32, bitcast=True)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    inside = (key > edge) | ((key == edge) & (ids <= last))
    tl.store(drawn_inner + number * S * 64 + lane, tl.where(inside, z, float("-inf")))
    tl.store(block + number * S, drawn)
    stretch = tl.arange(0, BS)
    value = tl.where(stretch == 0, won, float("-inf"))
    tl.store(score + number * S + stretch, value, mask=stretch < S)


def draw(
    logits: Tensor,
    noise: Tensor,
    score: Tensor,
    block: Tensor,
    drawn_inner: Tensor,
    inverse_t: float | Tensor,
    top_k: int | Tensor | None,
    top_p: float | Tensor | None,
) -> None:
    """The drawn block of every row of logits [n, V]; see `limit_kernel`. Numbers, or all held in tensors []."""
    (count, size), stretches = logits.shape, score.shape[1]
    held = isinstance(inverse_t, Tensor)
    if not held:
        top_k, top_p = size if top_k is None else min(int(top_k), size), 2.0 if top_p is None else top_p
    wide = min(PIECE, max(64, triton.next_power_of_2(size)))
    limit_kernel[(count,)](
        logits,
        noise,
        score,
        block,
        drawn_inner,
        size,
        noise.shape[1],
        stretches,
        inverse_t,
        top_k,
        top_p,
        W=wide,
        PIECES=triton.cdiv(size, wide),
        BS=triton.next_power_of_2(stretches),
        HELD=held,
        num_warps=max(1, wide // 1024),
    )
