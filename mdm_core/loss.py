"""The training objective: CE + GCE on masked positions, and the same at a lower weight on visible ones."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from mdm_core.corruption import Corrupted, told
from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy

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

    def __post_init__(self):
        weights = self.group_weight if isinstance(self.group_weight, tuple | list) else (self.group_weight,)
        each = [(name, getattr(self, name)) for name in ("ce_weight", "edit_weight", "z_loss")]
        for name, value in (*each, *(("group_weight", w) for w in weights)):
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= MOST_WEIGHT:
                raise ValueError(f"{name} must be a number from 0 to {MOST_WEIGHT:,}, got {told(value)}")
        if not weights:
            raise ValueError("group_weight must be a number, or one number for each level of groups")
        # numbers of NumPy become Python's: operators and JSON know no others
        for name, value in each:
            object.__setattr__(self, name, value if type(value) in (int, float) else float(value))
        if isinstance(self.group_weight, Real):
            weights = (
                self.group_weight if type(self.group_weight) in (int, float) else float(self.group_weight)
            )
        else:
            weights = tuple(w if type(w) in (int, float) else float(w) for w in weights)
        object.__setattr__(self, "group_weight", weights)
        if not isinstance(self.edit_flipped_only, bool):
            raise ValueError(f"edit_flipped_only must be True or False, got {told(self.edit_flipped_only)}")


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
    weights = dict(group_weight=0.0) if groups is None else dict(group_weight=1.0, ce_weight=0.0)
    ce = linear_grouped_cross_entropy(
        hidden.flatten(0, 1)[rows], head_weight, x0.flatten()[rows], groups, reduction="mean", **weights
    )
    return float(ce) / 0.6931471805599453
