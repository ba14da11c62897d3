"""The training objective: CE + GCE on masked positions, and the same at a lower weight on visible ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mdm_core.checks import real_number
from mdm_core.diffusion.corruption import Corrupted
from mdm_core.groups import Groups
from mdm_core.ops import SampleStep, linear_grouped_cross_entropy, sample_step

MOST_WEIGHT = 1_000_000
IGNORED = -100  # as a target: a row that has no part in the loss


@dataclass(frozen=True)
class ObjectiveConfig:
    """L = L_masked + edit_weight * L_visible, each = ce_weight * CE + sum_K group_weight_K * GCE_K."""

    ce_weight: float = 1.0
    group_weight: float | tuple[float, ...] = 0.2
    edit_weight: float = 0.2
    edit_flipped_only: bool = False  # supervise only the flipped visible tokens, not the right ones
    z_loss: float = 0.0

    def __post_init__(self) -> None:
        for name in ("ce_weight", "edit_weight", "z_loss"):
            object.__setattr__(self, name, real_number(name, getattr(self, name), 0, MOST_WEIGHT))
        weights = self.group_weight
        if isinstance(weights, tuple | list) and weights:
            weights = tuple(real_number("group_weight", w, 0, MOST_WEIGHT) for w in weights)
        else:
            weights = real_number("group_weight", weights, 0, MOST_WEIGHT)
        object.__setattr__(self, "group_weight", weights)
        if not isinstance(self.edit_flipped_only, bool):
            raise ValueError(f"edit_flipped_only must be True or False, got {self.edit_flipped_only!r}")


def objective(
    hidden: Tensor,
    head_weight: Tensor,
    x0: Tensor,
    corrupted: Corrupted,
    groups: Groups | None,
    config: ObjectiveConfig = ObjectiveConfig(),
    backend: str = "auto",
) -> Tensor:
    """Scalar loss of one batch.

    `L_masked` is the mean over the batch's masked positions, `L_visible` over its visible ones (or the flipped
    ones). Both ride in one call of the operator as row weights, so the head is multiplied once.

    Args:
        hidden: [B, L, D] of the model on corrupted.zt.
        head_weight: [V, D].
        x0: int64 [B, L].
    """
    masked = corrupted.masked.flatten()  # [N]
    visible = corrupted.flipped.flatten() if config.edit_flipped_only else ~masked
    row_weight = masked / masked.sum().clamp_min(1)
    row_weight = row_weight + visible * (config.edit_weight / visible.sum().clamp_min(1))
    target = x0.flatten().masked_fill(row_weight == 0, IGNORED)  # a CPU leaves these rows out
    return linear_grouped_cross_entropy(
        hidden.flatten(0, 1),
        head_weight,
        target,
        groups,
        group_weight=config.group_weight if groups is not None else 0.0,
        ce_weight=config.ce_weight,
        ignore_index=IGNORED,
        reduction="sum",
        row_weight=row_weight.float(),
        z_loss=config.z_loss,
        backend=backend,
    )


@torch.no_grad()
def bits_per_token(
    hidden: Tensor, head_weight: Tensor, x0: Tensor, where: Tensor, groups: Groups | None = None
) -> float:
    """Plain cross-entropy in bits a token over the positions `where` [B, L]: comparable between objectives.

    With `groups`, a token counts as any of its group: the bits that the coarser code costs.
    """
    rows = where.flatten()
    if not rows.any():
        return float("nan")
    ce = linear_grouped_cross_entropy(
        hidden.flatten(0, 1)[rows],
        head_weight,
        x0.flatten()[rows],
        groups,
        group_weight=0.0 if groups is None else 1.0,
        ce_weight=1.0 if groups is None else 0.0,
        reduction="mean",
    )
    return float(ce) / 0.6931471805599453


@torch.no_grad()
def guesses(rows: Tensor, head_weight: Tensor) -> SampleStep:
    """The most likely token of each row [n, D], with its probability and the entropy; nothing is drawn."""
    nothing = torch.full((len(rows),), len(head_weight), device=rows.device)
    drawn = torch.zeros_like(nothing, dtype=torch.bool)
    return sample_step(
        rows, head_weight.detach().to(rows.dtype), nothing, temperature=0.0, seed=0, step=0, draw=drawn
    )


def right_by_ratio(right: Tensor, masked: Tensor) -> dict[str, tuple[int, int]]:
    """Name -> (masked tokens guessed right, masked tokens): "accuracy" of all, "accuracy_25", "_50", "_75" and "_100"
    of the pictures of which up to so many per cent are masked.

    Args:
        right: bool [n], one for each masked place in order.
        masked: bool [B, L].
    """
    ratio = masked.float().mean(1, keepdim=True).expand(masked.shape)[masked]  # [n]
    quarter = (4 * ratio).ceil().clamp(1, 4)
    found = {"accuracy": (int(right.sum()), right.numel())}
    for q in range(1, 5):
        mine = right[quarter == q]
        found[f"accuracy_{25 * q}"] = (int(mine.sum()), mine.numel())
    return found
