"""When a picture of a prompt is right, how sure a share of right pictures is, and what a second judge says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from trainer.evaluate.prompts import EVERY_TAG, TAGS, Prompt
from trainer.judge import rules
from trainer.judge.detector import Detection, Verifier


def mistakes(p: Prompt, found: list[Detection]) -> list[str]:
    """What is wrong with a prompt's picture, by the rules of `trainer/judge/rules.py`; an empty list is a right one."""
    # a cell of the world's lattice: by so much one centre must lie beyond the other
    return rules.mistakes(p.include, p.exclude, found, p.spec.cell)


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_mean(
    verdicts: Mapping[str, Sequence[bool]], rounds: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean over tags of the share of right pictures, and its 95 % interval with prompts redrawn within each tag."""
    lots = [np.asarray(v, float) for v in verdicts.values() if len(v)]
    rng = np.random.default_rng(seed)
    redrawn = [lot[rng.integers(0, len(lot), (rounds, len(lot)))].mean(1) for lot in lots]
    low, high = np.quantile(np.mean(redrawn, 0), (0.025, 0.975))
    return mean(float(lot.mean()) for lot in lots), float(low), float(high)


def paired_difference(
    a: Sequence[bool], b: Sequence[bool], rounds: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """share(b) - share(a) over the same prompts and noise seeds, and its 95 % bootstrap interval."""
    difference = np.asarray(b, float) - np.asarray(a, float)
    rng = np.random.default_rng(seed)
    redrawn = difference[rng.integers(0, len(difference), (rounds, len(difference)))].mean(1)
    low, high = np.quantile(redrawn, (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)


def summary(prompts: list[Prompt], right: Sequence[bool]) -> dict:
    """Shares with intervals: each tag, each split of it, and the mean of the tags.

    Where there are more than GenEval's six tags, `mean_of_six` is the mean of those alone.
    """
    out: dict = {"tags": {}}
    by_tag: dict[str, list[bool]] = {}
    for tag in EVERY_TAG:
        rows = [(p.split, bool(r)) for p, r in zip(prompts, right, strict=True) if p.tag == tag]
        if not rows:
            continue
        by_tag[tag] = [r for _, r in rows]
        out["tags"][tag] = share(by_tag[tag])
        for split in ("seen", "held_out"):
            if mine := [r for s, r in rows if s == split]:
                out["tags"][tag][split] = share(mine)
    out["mean"] = _mean(by_tag)
    six = {tag: rows for tag, rows in by_tag.items() if tag in TAGS}
    if six and len(six) < len(by_tag):
        out["mean_of_six"] = _mean(six)
    for split in ("seen", "held_out"):
        lots = {
            t: [bool(r) for p, r in zip(prompts, right, strict=True) if (p.tag, p.split) == (t, split)]
            for t in by_tag
        }
        if lots := {t: v for t, v in lots.items() if v}:
            out["mean"][split] = _mean(lots)
    return out


def _mean(lots: Mapping[str, Sequence[bool]]) -> dict:
    middle, low, high = bootstrap_mean(lots)
    return {"share": round(middle, 4), "low": round(low, 4), "high": round(high, 4)}


def share(right: Sequence[bool]) -> dict:
    low, high = wilson(sum(right), len(right))
    return {
        "right": int(sum(right)),
        "n": len(right),
        "share": round(sum(right) / len(right), 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


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
    """What `judge` of 128 pixels says of halved pictures of a larger world, beside the `first` judge's verdicts.

    It was trained before that world was drawn, on other sprites and other grounds, so that it shares no error with
    the world's own judge beyond what a picture shows. It is stricter than fair: real renders say by how much. Only
    prompts whose objects it knows are asked.

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
