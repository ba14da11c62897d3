"""Grouped cross-entropy as the formula reads, in plain PyTorch: what the fast backends must equal.

    CE    = LSE(z) - z_y
    GCE_j = LSE(z) - LSE(z restricted to C_j(y))
    loss  = ce_weight * CE + sum_j group_weight_j * GCE_j + z_loss * LSE(z)^2

Materialises the [N, V] logits; autograd does the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mdm_core.groups import Level, Partition
from mdm_core.ops.gemm import roomy


def membership(target: Tensor, level: Level, vocab_size: int) -> Tensor:
    """bool [N, V]: is v a member of the target's group at this level."""
    if isinstance(level, Partition):
        return level.group_of[None, :] == level.group_of[target][:, None]  # [N, V]
    inside = torch.zeros(len(target), vocab_size, dtype=torch.bool, device=target.device)
    return inside.scatter_(1, level.neighbours[target].long(), True)  # [N, V]


def row_losses(
    hidden: Tensor,  # [N, D]
    weight: Tensor,  # [V, D]
    target: Tensor,  # int64 [N]
    levels: list[Level],
    coefficients: list[float],
    z_loss: float,
) -> tuple[Tensor, Tensor]:
    """Loss and LSE of each row, both [N]; 0 where target < 0. coefficients: (ce_weight, *group weights)."""
    valid = target >= 0  # [N]
    hidden = hidden.where(valid[:, None], 0)  # what an ignored row holds, even NaN, has no part in anything
    logits = roomy(hidden) @ weight.t()  # [N, V]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # [N, V]
    target = target.clamp(min=0)  # [N]
    lse = logits.logsumexp(1)  # [N]
    loss = coefficients[0] * (lse - logits.gather(1, target[:, None])[:, 0]) + z_loss * lse.square()  # [N]
    for coefficient, level in zip(coefficients[1:], levels, strict=True):
        inside = membership(target, level, weight.shape[0])  # [N, V]
        loss = loss + coefficient * (lse - logits.masked_fill(~inside, -torch.inf).logsumexp(1))  # [N]
    return loss.where(valid, loss.new_zeros(())), lse.detach().where(valid, lse.new_zeros(()))
