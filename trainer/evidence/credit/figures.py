"""The figures of one point of a run: how well tokens are predicted, and what the pictures are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdm_core.device import precision
from mdm_core.diffusion.corruption import Corrupted, CorruptionConfig, corrupt
from mdm_core.diffusion.loss import guesses, right_by_ratio
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.groups import Groups
from mdm_core.ops import linear_grouped_cross_entropy
from mdm_core.pipeline import Pipeline
from trainer.evaluate.controls import frechet, verdicts
from trainer.evaluate.generate import generate
from trainer.evaluate.prompts import Prompt
from trainer.evaluate.scoring import summary
from trainer.judge.detector import Verifier

CORRUPTION_SEED = 1  # of masks and flips that figures are measured with: always the same
SURE = 0.9  # a best token with at least this probability


@torch.no_grad()
def token_figures(
    model: MaskedDiffusionTransformer,
    x0: Tensor,
    text: Tensor,
    near: Mapping[int, Groups],
    batch: int = 64,
) -> dict[str, Any]:
    """How well a model predicts tokens of pictures that it has not seen, under the same masks and flips every time.

    Bits are those of plain cross-entropy whatever the model was trained by: `masked_bits` and `flipped_bits` a token,
    `group_N_bits` with a token counting as any of its group of N. `accuracy`: share of masked tokens whose best guess
    is right, `accuracy_25` and on by the mask ratio up to so many per cent. `entropy_bits`: of the prediction, which is
    what the model itself says of the truth's ambiguity; `sure`: masked tokens with a best guess above 0.9; `p_target`
    and `p_group_N`: mean probability of the target and of its group, which say where the gradient goes.

    Args:
        x0, text: integers [N, L] and [N, T].
        near: groups by size.
    """
    device = model.head_weight.device
    generator = torch.Generator(device).manual_seed(CORRUPTION_SEED)
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}

    def add(name: str, values: Tensor) -> None:
        sums[name] = sums.get(name, 0.0) + float(values.double().sum())
        counts[name] = counts.get(name, 0) + values.numel()

    for part, words in zip(x0.split(batch), text.split(batch), strict=True):
        part, words = part.to(device).long(), words.to(device).long()
        c = corrupt(part, model.config.mask_id, CorruptionConfig(flip_uniform=1.0), generator=generator)
        with precision(device):
            hidden = model(c.zt, words)  # [B, L, D]
        _masked(model, part, c, hidden, near, add)
        if bool(c.flipped.any()):
            add("flipped_bits", _loss(hidden[c.flipped], model, part[c.flipped], None) / math.log(2))
    return {name: round(total / counts[name], 5) for name, total in sums.items() if counts[name]}


def _masked(
    model: MaskedDiffusionTransformer,
    x0: Tensor,
    c: Corrupted,
    hidden: Tensor,
    near: Mapping[int, Groups],
    add: Any,
) -> None:
    """The figures of masked tokens of a batch, [n] of them."""
    rows, target = hidden[c.masked], x0[c.masked]  # [n, D], [n]
    ce = _loss(rows, model, target, None)  # [n]
    add("masked_bits", ce / math.log(2))
    add("p_target", (-ce).exp())
    for size, groups in near.items():
        loss = _loss(rows, model, target, groups)
        add(f"group_{size}_bits", loss / math.log(2))
        add(f"p_group_{size}", (-loss).exp())
    step = guesses(rows, model.head_weight)
    right = step.best == target  # [n]
    add("sure", step.best_p > SURE)
    add("entropy_bits", step.entropy / math.log(2))
    for name, (hits, count) in right_by_ratio(right, c.masked).items():
        add(name, torch.arange(count) < hits)


def _loss(rows: Tensor, model: MaskedDiffusionTransformer, target: Tensor, groups: Groups | None) -> Tensor:
    """-log p of the target, or of its group: float [n]."""
    return linear_grouped_cross_entropy(
        rows,
        model.head_weight,
        target,
        groups,
        group_weight=0.0 if groups is None else 1.0,
        ce_weight=1.0 if groups is None else 0.0,
        reduction="none",
    )


def gradient_share(figures: Mapping[str, float], size: int, weight: float) -> float:
    """The grouped term's part of the gradient on the logits, from the mean probabilities of target and group.

    |CE's gradient| = 2 (1 - p_target) and |GCE's| = 2 (1 - p_group) a row, summed over the vocabulary.
    """
    plain, grouped = 1 - figures["p_target"], weight * (1 - figures[f"p_group_{size}"])
    return grouped / max(1e-12, plain + grouped)


def picture_figures(
    pipe: Pipeline, prompts: list[Prompt], judge: Verifier, real: Tensor, **settings: Any
) -> dict[str, Any]:
    """What the pictures of all prompts are worth, each with its place as the noise seed.

    `accepted`: mean over tags of the share of right pictures, with its 95 % interval; `right`: "1" or "0" a prompt;
    `frechet`: distance to the true pictures' features `real`, float [P, F].
    """
    made = generate(pipe, [p.prompt for p in prompts], [p.index for p in prompts], quiet=True, **settings)
    right = verdicts(prompts, judge.detect(made.images))
    score = summary(prompts, right)
    return {
        "accepted": score["mean"]["share"],
        "accepted_low": score["mean"]["low"],
        "accepted_high": score["mean"]["high"],
        "tags": {tag: row["share"] for tag, row in score["tags"].items()},
        "right": "".join("01"[r] for r in right),
        "frechet": round(frechet(judge.features(made.images).numpy(), real.numpy()), 4),
        "passes": round(float(np.mean(made.passes)), 3),
        "edits_per_picture": round(float(np.mean(made.edits)), 3),
    }
