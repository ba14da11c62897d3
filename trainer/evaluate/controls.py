"""What stands beside every score: how good the judge is, and what the tokenizer alone costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from mdm_core.pipeline import Pipeline
from trainer.evaluate.generate import Artist, decode, encode
from trainer.evaluate.layouts import accepts
from trainer.evaluate.prompts import EVERY_TAG, Prompt, near_misses
from trainer.evaluate.scoring import mistakes, share
from trainer.evaluate.templates import Templates
from trainer.judge.detector import Detection, Verifier
from trainer.scenes.atlas import Atlas


def verdicts(prompts: Sequence[Prompt], found: Sequence[list[Detection]]) -> list[bool]:
    return [not mistakes(p, f) for p, f in zip(prompts, found, strict=True)]


def shuffled(prompts: Sequence[Prompt], found: Sequence[list[Detection]]) -> list[bool]:
    """Every picture judged by the next prompt of its tag: near zero for a judge that reads the picture."""
    out = [False] * len(prompts)
    for tag in EVERY_TAG:
        mine = [i for i, p in enumerate(prompts) if p.tag == tag]
        for i, other in zip(mine, mine[1:] + mine[:1], strict=True):
            out[i] = len(mine) > 1 and not mistakes(prompts[other], found[i])
    return out


def renders_and_round_trip(
    prompts: list[Prompt], judge: Verifier, artist: Artist, pipe: Pipeline
) -> tuple[list[bool], list[bool], Tensor, Tensor]:
    """Verdicts on the real renders (the verifier's own accuracy) and on their round trip (the tokenizer's ceiling),
    and both lots of pictures."""
    drawn = artist.draw([p.scene for p in prompts])
    back = decode(pipe, encode(pipe, drawn))
    real, ceiling = (verdicts(prompts, judge.detect(images)) for images in (drawn, back))
    return real, ceiling, drawn, back


def specificity(prompts: list[Prompt], judge: Verifier, artist: Artist, atlas: Atlas, n_objects: int) -> dict:
    """Share of near misses that are refused, by tag and by the kind of mistake in the picture."""
    cases = [(p, kind, s) for p in prompts for kind, s in near_misses(p, atlas, n_objects).items()]
    found = judge.detect(artist.draw([scene for _, _, scene in cases]))
    refused: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for (p, kind, _), f in zip(cases, found, strict=True):
        refused[p.tag][kind].append(bool(mistakes(p, f)))
    return {tag: {kind: share(v) for kind, v in kinds.items()} for tag, kinds in refused.items()}


def agreement(
    prompts: list[Prompt], images: Tensor, found: list[list[Detection]], templates: Templates
) -> dict:
    """How often template matching says the same: about each object found; about the whole picture, with the
    verifier's places; and about the whole picture on its own, where things can only lie in known places."""
    again = templates.rename(images, found)
    alone = accepts(templates, images, prompts) if templates.spec.snapped == 1 else None
    out = {}
    for tag in EVERY_TAG:
        rows = [i for i, p in enumerate(prompts) if p.tag == tag]
        if not rows:
            continue
        names = [a.name == b.name for i in rows for a, b in zip(found[i], again[i], strict=True)]
        whole = [bool(mistakes(prompts[i], found[i])) == bool(mistakes(prompts[i], again[i])) for i in rows]
        out[tag] = {"objects": share(names) if names else None, "verdicts": share(whole)}
        if alone is not None:
            own = [(not mistakes(prompts[i], found[i])) == alone[i] for i in rows]
            out[tag] |= {
                "verdicts of templates alone": share(own),
                "accepted by templates alone": share([alone[i] for i in rows]),
            }
    return out


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of two sets of features [n, d] under normal laws (Dowson and Landau 1982).

    Not FID: the features are the verifier's. tr sqrt(A B) = sum of the square roots of the eigenvalues of A B.
    """
    gap = a.mean(0) - b.mean(0)
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.sqrt(np.clip(np.linalg.eigvals(one @ two).real, 0, None)).sum()
    return float(gap @ gap + np.trace(one) + np.trace(two) - 2 * roots)
