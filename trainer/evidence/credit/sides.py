"""Table E: editing from the side of sampling, at equal forward passes.

What a picture gains by editing may come from training (flips and the edit loss make a better model of the tokens) or
from sampling (the passes that editing spends). So every trained model is sampled with editing off, with doubtful tokens
masked again, and with doubtful tokens overwritten, all with the passes that overwriting took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mdm_core.pipeline import Pipeline
from trainer.evaluate.controls import verdicts
from trainer.evaluate.generate import generate
from trainer.evaluate.prompts import Prompt
from trainer.evaluate.scoring import paired_difference, summary
from trainer.evidence.editing import NOISE
from trainer.judge.detector import Verifier

MODES = ("off", "remask", "overwrite")


def sides(pipe: Pipeline, prompts: list[Prompt], judge: Verifier) -> dict[str, Any]:
    """By mode: score, verdicts ("1" or "0" a prompt), forward passes, edits and steps; noise the same in each."""
    rows = {"overwrite": _row(pipe, prompts, judge, edit="overwrite")}
    passes, steps = rows["overwrite"]["passes"], pipe.settings().steps
    rows["off"] = _row(pipe, prompts, judge, edit="off", steps=max(1, round(passes)))
    first = _row(pipe, prompts, judge, edit="remask")
    # as many steps more as make up for the passes that it spends less
    fitting = max(1, steps + round(passes - first["passes"]))
    rows["remask"] = first if fitting == steps else _row(pipe, prompts, judge, edit="remask", steps=fitting)
    return {mode: rows[mode] for mode in MODES}


def _row(pipe: Pipeline, prompts: list[Prompt], judge: Verifier, **settings: Any) -> dict[str, Any]:
    seeds = [NOISE + p.index for p in prompts]
    made = generate(pipe, [p.prompt for p in prompts], seeds, quiet=True, **settings)
    right = verdicts(prompts, judge.detect(made.images))
    return {
        "settings": settings,
        "mean": summary(prompts, right)["mean"],
        "right": "".join("01"[r] for r in right),
        "passes": round(float(np.mean(made.passes)), 3),
        "edits_per_picture": round(float(np.mean(made.edits)), 3),
        "seconds_per_picture": round(made.seconds / len(prompts), 5),
    }


def gains(
    runs: Sequence[Mapping[str, Any]], base: tuple[str, str] = ("bare", "off")
) -> dict[tuple[str, str], tuple[float, float, float]]:
    """(arm, mode) -> gain in accepted pictures over `base`, and its 95 % interval, paired by seed, prompt and noise.

    runs: rows of a record, those with "sides". Pairs are pooled over the seeds that both have.
    """
    found: dict[tuple[str, str], tuple[float, float, float]] = {}
    by = {(r["arm"], r["seed"]): r["sides"] for r in runs if r.get("sides")}
    for arm in dict.fromkeys(arm for arm, _ in by):
        seeds = [s for a, s in by if a == arm and (base[0], s) in by]
        if not seeds:
            continue
        for mode in MODES:
            before = [c == "1" for s in seeds for c in by[base[0], s][base[1]]["right"]]
            after = [c == "1" for s in seeds for c in by[arm, s][mode]["right"]]
            found[arm, mode] = paired_difference(before, after)
    return found
