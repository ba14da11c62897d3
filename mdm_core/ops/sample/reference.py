"""One sampling step's decision data as the definition reads, on materialised logits: the yardstick."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mdm_core.ops.gemm import roomy
from mdm_core.ops.noise import BLOCK, TOKEN_NOISE, gumbel


def restrict(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    """Logits with everything outside the top-k / top-p set at -inf; equal logits are ranked by lowest id.

    top_p keeps the smallest set of most likely tokens, at this temperature, whose probability reaches top_p.
    """
    if top_k is None and top_p is None:
        return logits
    ranked, order = logits.sort(dim=1, descending=True, stable=True)  # [n, V]
    if top_k is not None:
        ranked[:, top_k:] = -torch.inf
    if top_p is not None:
        p = (ranked / temperature).softmax(1)  # [n, V]
        before = p.cumsum(1).sub_(p)  # probability of all tokens ranked above
        before[:, 0] = 0.0
        ranked = ranked.masked_fill(before >= top_p, -torch.inf)
    return torch.empty_like(logits).scatter_(1, order, ranked)


def sample_rows(
    hidden: Tensor,
    weight: Tensor,
    current: Tensor,
    temperature: float,
    seed: Tensor,
    step: int,
    row_ids: Tensor,
    top_k: int | None,
    top_p: float | None,
) -> tuple[Tensor, ...]:
    """The seven fields of SampleStep, each [N]."""
    size = weight.shape[0]
    logits = (roomy(hidden.to(weight.dtype)) @ weight.t()).float()  # [N, V]
    p = logits.softmax(1)  # [N, V]

    if temperature == 0:
        token = logits.argmax(1)  # [N]
    else:
        blocks = -(-size // BLOCK)
        padded = functional.pad(
            restrict(logits, temperature, top_k, top_p), (0, blocks * BLOCK - size), value=-torch.inf
        )
        tempered = (padded / temperature).view(-1, blocks, BLOCK)  # [N, blocks, 64]
        zero = torch.zeros((), dtype=torch.long, device=logits.device)
        block = (tempered.logsumexp(2) + gumbel(seed, row_ids, step, zero, blocks)).argmax(1)  # [N]
        inner = tempered[torch.arange(len(block)), block]  # [N, 64]
        token = block * BLOCK + (
            inner + gumbel(seed, row_ids, step, TOKEN_NOISE + block * BLOCK, BLOCK)
        ).argmax(1)

    best = logits.argmax(1)  # [N]
    best_p = p.gather(1, best[:, None])[:, 0]
    second_p = p.scatter(1, best[:, None], 0.0).amax(1)
    known = current < size  # [N]
    current_p = p.gather(1, current.clamp(max=size - 1)[:, None])[:, 0] * known
    entropy = -(p * p.clamp(min=1e-45).log()).sum(1)
    return token, p.gather(1, token[:, None])[:, 0], best, best_p, second_p, current_p, entropy
