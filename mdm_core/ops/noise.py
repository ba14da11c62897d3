"""Counter-based Gumbel noise: a number depends on (seed, row, step, index) and on nothing else.

Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) in int64 arithmetic.
One call gives 128 bits, so it serves two neighbouring indices with 64 bits each. The counter is

    (index // 2, step, row low, row high)    under the key    (seed low, seed high)

and the Triton backend computes the very same bits.

Why two levels. To draw from softmax(z / T) by Gumbel-max, every token needs its own noise: V per row. Here
the vocabulary is cut into fixed blocks of 64 token ids. First a block is drawn, by Gumbel-max over the
blocks' log-sum-exps, then a token inside it, by Gumbel-max over its 64 logits. By the chain rule the token
is exactly softmax(z / T)-distributed, for V/64 + 64 noises per row; and since neither the blocks nor the
counters know of tiles, chunks or batches, the sample does not either.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 64  # token ids per block: block b holds ids 64 b .. 64 b + 63, the last block possibly fewer
TOKEN_NOISE = 1 << 32  # noise index of token 0 (counter 2^31); blocks use the indices from 0
_LOW = 0xFFFFFFFF


def _mul_high_low(factor: int, value: Tensor) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of a 32 x 32-bit product; int64 wraps around but keeps all 64 bits."""
    product = value * factor
    return (product >> 32) & _LOW, product & _LOW


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Philox-4x32-10: four 32-bit words as int64, of the counters' broadcast shape."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = _mul_high_low(0xD2511F53, c0)
        high1, low1 = _mul_high_low(0xCD9E8D57, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) & _LOW, (k1 + 0xBB67AE85) & _LOW
    return c0, c1, c2, c3


def gumbel(seed: Tensor, row: Tensor, step: int, first: Tensor, count: int) -> Tensor:
    """Standard Gumbel noise, fp32 [n, count], of each row at indices first : first + count (first even).

    seed, row: int64 [n]; first: int64 [n] or [].
    """
    pair = first.reshape(-1, 1) // 2 + torch.arange((count + 1) // 2, device=row.device)  # [n, count / 2]
    seed, row = seed[:, None], row[:, None]  # [n, 1]
    counter = (pair & _LOW, torch.full_like(row, step), row & _LOW, (row >> 32) & _LOW)
    a, b, c, d = torch.broadcast_tensors(*philox(counter, (seed & _LOW, (seed >> 32) & _LOW)))
    high, low = torch.stack((a, c), -1).flatten(1), torch.stack((b, d), -1).flatten(1)  # [n, count]
    # v in (0, 1) from 64 bits: fine down to 2^-64, where the largest Gumbels come from. Usually called 1 - u.
    v = high[:, :count].float() * 2.0**-32 + (low[:, :count].float() * 2.0**-64 + 2.0**-65)
    return -(-torch.log1p(-v.clamp(max=1 - 2.0**-24))).log()
