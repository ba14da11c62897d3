"""What is compared: arms, each one way to train that differs from plain cross-entropy in a few numbers.

An arm is trained by the engine that trains every model (`Trainer`, `Objective`); here stands only what differs: which
neighbours are given credit, how much, for how long, and how visible tokens are corrupted and judged.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from mdm_core.diffusion.corruption import Corrupted
from mdm_core.diffusion.loss import ObjectiveConfig, objective
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.groups import Groups
from trainer.engine.step import Objective
from trainer.evidence.arms import smoothing
from trainer.recipes.recipe import Recipe
from trainer.settings.credit import Arm


@dataclass(frozen=True)
class Credit:
    """The neighbours that an arm gives credit to, on the training device.

    near: int64 [V, k], the code itself first, and share: float [V, k], what each of them is of the target; both None
    without soft targets.
    """

    groups: Groups | None = None
    near: Tensor | None = None
    share: Tensor | None = None


def soft_share(codebook: Tensor, near: Tensor, warmth: float) -> Tensor:
    """float [V, k]: q of each neighbour, proportional to exp(-distance / (warmth * mean distance of nearest codes)).

    Args:
        codebook: [V, d].
        near: int64 [V, k], the code itself first.
    """
    points = codebook.float()
    parts = [(points[i][:, None] - points[n]).norm(dim=2) for i, n in zip(*_lots(near), strict=True)]
    distance = torch.cat(parts)  # [V, k]
    scale = warmth * distance[:, 1].mean().clamp_min(1e-12)
    return (-distance / scale).softmax(1)


def _lots(near: Tensor, size: int = 8192) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    return torch.arange(len(near), device=near.device).split(size), near.split(size)


class ArmObjective(Objective):
    """The engine's objective with the loss of an arm, over a share of a batch's tokens.

    The head costs most at a large vocabulary, and the tokens of one picture say much the same: more pictures and fewer
    tokens of each teach more in a second. Which tokens follows from the batch's seed, so that it is the same in every
    arm, as masks, flips and dropped prompts are.
    """

    def __init__(
        self, model: MaskedDiffusionTransformer, recipe: Recipe, arm: Arm, credit: Credit, rows: float
    ):
        super().__init__(model, None, recipe)  # flips are drawn from the whole vocabulary
        self.arm, self.credit, self.rows = arm, credit, rows
        self.progress = 0.0  # how much of the run is over
        self.seed = 0
        self.objective = self.part

    def forward(
        self, x0: Tensor, text: Tensor, seed: int, draft: bool = False, things: Tensor | None = None
    ) -> Tensor:
        """See `Objective.forward`."""
        self.seed = seed
        return super().forward(x0, text, seed, draft, things)

    def part(
        self,
        hidden: Tensor,
        head_weight: Tensor,
        x0: Tensor,
        corrupted: Corrupted,
        groups: Groups | None,
        config: ObjectiveConfig,
        backend: str,
    ) -> Tensor:
        """Scalar loss of some of the tokens; arguments as of `mdm_core.diffusion.loss.objective`."""
        generator = torch.Generator(x0.device).manual_seed(self.seed ^ 1)
        order = torch.randperm(x0.numel(), generator=generator, device=x0.device)
        some = order[: max(1, round(self.rows * x0.numel()))]  # [n]
        c = corrupted
        x0, zt, masked, flipped = (t.flatten()[some][None] for t in (x0, c.zt, c.masked, c.flipped))  # [1, n]
        few, hidden = Corrupted(zt, masked, flipped, c.ratio), hidden.flatten(0, 1)[some][None]  # [1, n, D]
        weight = self.arm.weight * self.fading()
        given = self.credit.groups if weight else None
        config = dataclasses.replace(config, group_weight=weight, ce_weight=self.arm.ce)
        loss = objective(hidden, head_weight, x0, few, given, config, backend)
        if self.arm.smoothing:
            loss = loss + self.arm.smoothing * smoothing(hidden, head_weight, x0, few, config.edit_weight)
        if self.credit.near is not None and self.credit.share is not None:
            loss = loss + softening(
                hidden, head_weight, x0, few, config.edit_weight, self.credit.near, self.credit.share
            )
        return loss

    def fading(self) -> float:
        """The factor of the grouped term at this point of the run."""
        return 1.0 if not self.arm.fades else max(0.0, 1 - self.progress / self.arm.fades)


def softening(
    hidden: Tensor, weight: Tensor, x0: Tensor, c: Corrupted, edit_weight: float, near: Tensor, share: Tensor
) -> Tensor:
    """What soft targets add to plain cross-entropy, rows weighed as the objective does.

    lse - sum_k q_k z_k = CE + (z_y - sum_k q_k z_k), over the k codes nearest to the target.

    Args:
        hidden: [1, n, D].
        weight: the head, [V, D].
        x0: int64 [1, n].
        near, share: of `Credit`.
    """
    masked = c.masked.flatten()
    rows = masked / masked.sum().clamp_min(1) + ~masked * (edit_weight / (~masked).sum().clamp_min(1))  # [n]
    y = x0.flatten()
    logits = torch.einsum("nd,nkd->nk", hidden.flatten(0, 1).float(), weight.float()[near[y]])  # [n, k]
    return (logits[:, 0] - (share[y] * logits).sum(1)) @ rows.float()
