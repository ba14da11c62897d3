"""What grouped cross-entropy is measured against: the plain formula in several dresses, and peers' kernels.

Every function takes (hidden [N, D], weight [V, D], target [N]) and returns the mean loss; `members` [V, k]
holds each token's group, None for plain cross-entropy.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
GROUP_WEIGHT = 0.2


def eager(hidden: Tensor, weight: Tensor, target: Tensor, members: Tensor | None) -> Tensor:
    """The formula on materialised logits, in the few passes that good PyTorch needs."""
    logits = (hidden @ weight.t()).float()  # [N, V]
    if members is None:
        return F.cross_entropy(logits, target)
    lse = logits.logsumexp(1)  # [N]
    ce = lse - logits.gather(1, target[:, None])[:, 0]
    gce = lse - logits.gather(1, members[target]).logsumexp(1)
    return (ce + GROUP_WEIGHT * gce).mean()


def checkpointed(
    hidden: Tensor, weight: Tensor, target: Tensor, members: Tensor | None, rows: int = 2048
) -> Tensor:
    """The formula on chunks of rows, each recomputed in the backward."""
    parts = [
        checkpoint(eager, h, weight, y, members, use_reentrant=False) * len(y)
        for h, y in zip(hidden.split(rows), target.split(rows), strict=True)
    ]
    return torch.stack(parts).sum() / len(target)


def cut_and_gather(
    cut: Callable[..., Tensor], hidden: Tensor, weight: Tensor, target: Tensor, members: Tensor
) -> Tensor:
    """Another's fused plain loss for the LSE, and the group's few logits gathered beside it."""
    nll = cut(hidden, weight, target, reduction="none")  # [N]  LSE - z_y
    ids = members[target]  # [N, k]
    logits = torch.einsum("nd,nkd->nk", hidden, weight[ids]).float()  # [N, k]
    own = (logits * (ids == target[:, None])).sum(1)  # [N]  z_y
    return (nll + GROUP_WEIGHT * (nll + own - logits.logsumexp(1))).mean()


def gce_peers(
    groups: Groups | None,
    members: Tensor | None,
    device: torch.device,
    report: Callable[[str], object] = print,
) -> dict[str, Loss]:
    """Ours first, then every contender that is installed; the missing ones are named."""
    peers: dict[str, Loss] = {
        "ours": lambda h, w, y: linear_grouped_cross_entropy(h, w, y, groups, group_weight=GROUP_WEIGHT),
        "ours, vocabulary": lambda h, w, y: linear_grouped_cross_entropy(
            h, w, y, groups, group_weight=GROUP_WEIGHT, schedule="vocabulary"
        ),
        "eager": lambda h, w, y: eager(h, w, y, members),
        "checkpointed chunks": lambda h, w, y: checkpointed(h, w, y, members),
    }
    if groups is not None:
        peers["ours, no groups"] = lambda h, w, y: linear_grouped_cross_entropy(h, w, y)
        if device.type == "cuda":
            peers["torch backend"] = lambda h, w, y: linear_grouped_cross_entropy(
                h, w, y, groups, group_weight=GROUP_WEIGHT, backend="torch"
            )
    compiled = torch.compile(eager, dynamic=False)
    peers["compiled"] = lambda h, w, y: compiled(h, w, y, members)
    cut = _cut_cross_entropy(report) if device.type == "cuda" else None
    if groups is not None:
        if cut is not None and members is not None:
            peers["cut-cross-entropy and a gather"] = lambda h, w, y: cut_and_gather(cut, h, w, y, members)
        return peers

    if hasattr(F, "linear_cross_entropy"):
        options = torch.nn.LinearCrossEntropyOptions()
        peers["F.linear_cross_entropy"] = lambda h, w, y: F.linear_cross_entropy(h, w, y)
        peers["F.linear_cross_entropy, chunked"] = lambda h, w, y: F.linear_cross_entropy(
            h, w, y, options=options
        )
    else:
        report(f"left out: F.linear_cross_entropy (PyTorch {torch.__version__} does not have it)")
    if device.type != "cuda":
        return peers
    if cut is not None:
        peers["cut-cross-entropy"] = lambda h, w, y: cut(h, w, y)
        peers["cut-cross-entropy, exact"] = lambda h, w, y: cut(h, w, y, filter_eps=None)
    try:
        from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy as liger

        peers["liger-kernel"] = lambda h, w, y: liger(h, w, y)
    except ImportError:
        report("left out: liger-kernel (not installed)")
    return peers


def _cut_cross_entropy(report: Callable[[str], object]) -> Callable[..., Tensor] | None:
    try:
        from cut_cross_entropy import linear_cross_entropy
    except ImportError:
        report("left out: cut-cross-entropy (not installed)")
        return None
    return linear_cross_entropy
