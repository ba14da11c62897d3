"""The noise of noise.py in Triton, bit for bit: Philox-4x32-10, and Gumbel noise from it."""

from __future__ import annotations

import triton
import triton.language as tl


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
def gumbel(seed, row, step, index, base: tl.constexpr):
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
