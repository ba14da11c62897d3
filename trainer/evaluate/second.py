"""A second opinion on pictures of a larger world: the judge of 128 pixels, on halved pictures of the objects it knows.

It was trained before that world was drawn, on other sprites and other grounds, so that it shares no error with the
world's own judge beyond what a picture shows. It is stricter than fair: real renders say by how much.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from trainer.evaluate.prompts import Prompt
from trainer.evaluate.scoring import share, summary
from trainer.judge import rules
from trainer.judge.detector import Verifier


def reduced(images: Tensor, side: int) -> Tensor:
    """uint8 [B, H, H, 3] -> uint8 [B, side, side, 3], means of squares; ValueError where H is no multiple of side."""
    by, rest = divmod(images.shape[1], side)
    if rest or images.shape[1] != images.shape[2]:
        raise ValueError(f"pictures of {images.shape[1]} pixels a side cannot be reduced to {side}")
    pixels = F.avg_pool2d(images.permute(0, 3, 1, 2).float(), by)
    return pixels.round().to(images.dtype).permute(0, 2, 3, 1)


def second_opinion(
    prompts: list[Prompt], judge: Verifier, pictures: dict[str, Tensor], first: dict[str, list[bool]]
) -> dict:
    """What `judge` says of the prompts whose objects it knows, beside the `first` judge's verdicts on the same ones.

    pictures, first: by row ("model", "real renders"), an entry a prompt.
    """
    known = set(judge.names)
    rows = [i for i, p in enumerate(prompts) if all(e["class"] in known for e in p.include)]
    if not rows:
        return {"verifier_sha256": judge.card["sha256"], "n": 0}
    mine = [prompts[i] for i in rows]
    out: dict = {"verifier_sha256": judge.card["sha256"], "n": len(rows), "rows": {}}
    for row, images in pictures.items():
        found = judge.detect(reduced(images[rows], judge.spec.image))
        right = [
            not rules.mistakes(p.include, p.exclude, f, judge.spec.cell)
            for p, f in zip(mine, found, strict=True)
        ]
        before = [first[row][i] for i in rows]
        out["rows"][row] = summary(mine, right)
        out["rows"][f"{row}, by the first judge"] = summary(mine, before)
        if row == "model":
            out["agreement"] = share([a == b for a, b in zip(right, before, strict=True)])
    return out
