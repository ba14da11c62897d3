"""What a trained judge is worth: thresholds, accuracy on unseen scenes, and the share of near misses that it refuses.

All scenes are of seeds that no lesson has. A judge that is used to score is measured first, here, and its figures stand
in its card.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.judge.detector import NOTHING, Detection, Verifier
from trainer.judge.lessons import IGNORE, Bank, Lesson, lesson
from trainer.judge.loop import JudgeData
from trainer.judge.near_misses import near_misses
from trainer.judge.rules import mistakes
from trainer.scenes.generator import SceneGenerator
from trainer.scenes.scene import Scene
from trainer.scenes.source import picture

CHECK_SEED = 70_000_001  # of the scenes that thresholds and accuracy are read from
PART = 256  # pictures at once
PLACES, NAMES = (0.3, 0.4, 0.5), (0.35, 0.5, 0.65, 0.8)  # thresholds to choose from


def measure(judge: Verifier, data: JudgeData, count: int) -> dict:
    """Chooses the judge's thresholds and says how good it is with them, on about `count` scenes of each kind."""
    out = calibrate(judge, data, count)
    for split in ("seen", "held_out"):
        right = by_split(judge, data, count, split)
        out[f"check_clean_{split}_scenes_right"] = share(right)
    out["check_near_misses_refused"] = specificity(judge, data, max(1, count // 4))
    return out


def share(right: Sequence[bool]) -> float:
    return round(sum(right) / max(1, len(right)), 4)


def calibrate(judge: Verifier, data: JudgeData, count: int) -> dict:
    """Thresholds that best tell whole scenes from broken ones, on scenes of another seed; and the accuracy there."""
    n, device = data.n_objects, data.bank.device
    maker = data.maker(CHECK_SEED)
    generator = torch.Generator(device).manual_seed(CHECK_SEED)
    part = min(count, PART)
    kept: list[tuple[Lesson, Tensor]] = []
    for k in range(max(1, count // part)):
        truth = lesson(maker.draw(part), data.bank, n, generator, broken=k % 2 * 1.0)
        kept.append((truth, truth.images.round().to(torch.uint8).permute(0, 2, 3, 1)))
    best = (-1.0, 0.0, 0.0, 0.0, 0.0)
    for place, name in itertools.product(PLACES, NAMES):
        judge.place_above, judge.name_above = place, name
        right: list[bool] = []
        refused: list[bool] = []
        for truth, images in kept:
            for b, found in enumerate(judge.detect(images)):
                names = truth.name[b][truth.used[b]].tolist()
                if IGNORE in names or truth.doubtful[b].any():
                    continue
                wanted = Counter(NOTHING if i == n else judge.names[i] for i in names)
                (refused if n in names else right).append(wanted == Counter(d.name for d in found))
        whole, broken = sum(right) / max(1, len(right)), sum(refused) / max(1, len(refused))
        best = max(best, ((whole + broken) / 2, place, name, whole, broken))
    _, judge.place_above, judge.name_above, whole, broken = best
    return {
        "place_above": judge.place_above,
        "name_above": judge.name_above,
        "check_degraded_whole_scenes_right": round(whole, 4),
        "check_degraded_broken_scenes_right": round(broken, 4),
    }


def by_split(judge: Verifier, data: JudgeData, count: int, split: str) -> list[bool]:
    """Of each of about `count` clean scenes, whether exactly its things were found, in their colours."""
    scenes = _scenes(data, split)
    part, right = min(count, PART), []
    for _ in range(max(1, count // part)):
        lot = [scenes.sample() for _ in range(part)]
        for scene, found in zip(lot, _seen(judge, data.bank, scenes, lot), strict=True):
            wanted = Counter((o.name, o.colour) for o in scene.objects)
            right.append(wanted == Counter((d.name, d.colour) for d in found))
    return right


def specificity(judge: Verifier, data: JudgeData, count: int) -> dict:
    """Share of near misses of about `count` scenes a split that are refused, by the kind of mistake, and how many."""
    refused: dict[str, list[bool]] = defaultdict(list)
    for split in ("seen", "held_out"):
        scenes = _scenes(data, split)
        cases = [
            (scene, kind, wrong)
            for seed in range(count)
            for scene in (scenes.sample(),)
            for kind, wrong in near_misses(scene, seed, data.atlas, data.n_objects, data.spec).items()
        ]
        for start in range(0, len(cases), PART):
            part = cases[start : start + PART]
            seen = _seen(judge, data.bank, scenes, [wrong for _, _, wrong in part])
            for (scene, kind, _), found in zip(part, seen, strict=True):
                truth = scene.truth()
                told = mistakes(truth["include"], truth["exclude"], found, data.spec.cell)
                refused[kind].append(bool(told))
    every = [ok for lot in refused.values() for ok in lot]
    return {"all": share(every), "n": len(every), **{kind: share(lot) for kind, lot in refused.items()}}


def _scenes(data: JudgeData, split: str) -> SceneGenerator:
    return SceneGenerator(
        data.atlas,
        n_objects=data.n_objects,
        styles=list(data.shares),
        seed=CHECK_SEED,
        split=split,
        spec=data.spec,
    )


def _seen(judge: Verifier, bank: Bank, scenes: SceneGenerator, lot: list[Scene]) -> list[list[Detection]]:
    return judge.detect(picture(scenes.to_batch(lot), bank))
