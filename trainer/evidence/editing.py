"""What token editing is worth: tables B (editing modes) and C (steps), and the self-correction test.

All on EmojiEval's prompts with noise seeds of their own, the same in every row, so that rows are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mdm_core.diffusion.sampler import sample
from mdm_core.diffusion.wrong import others
from mdm_core.pipeline import Pipeline
from mdm_core.settings import HEAL
from trainer.evaluate.controls import verdicts
from trainer.evaluate.generate import Pictures, decode, generate
from trainer.evaluate.prompts import Prompt
from trainer.evaluate.scoring import paired_difference, summary
from trainer.judge.detector import Verifier

# added to a prompt's index: other noise than the score's, and than any that defaults were set on
NOISE = 1_000_000
STEPS = (4, 8, 12, 16, 32)
BROKEN = (0.05, 0.10, 0.20)

Keep = Callable[[dict], None]


def _forget(rows: dict) -> None:
    """Keeps nothing."""


def _row(
    pipe: Pipeline, prompts: list[Prompt], judge: Verifier, **settings: Any
) -> tuple[dict, list[bool], Pictures]:
    """One row of a table: score, forward passes, edits, seconds, and what taking the edits back would do."""
    seeds = [NOISE + p.index for p in prompts]
    made = generate(pipe, [p.prompt for p in prompts], seeds, quiet=True, **settings)
    right = verdicts(prompts, judge.detect(made.images))
    row = {
        "settings": settings,
        "score": summary(prompts, right),
        "forward_passes": round(float(np.mean(made.passes)), 3),
        "edits_per_picture": round(float(np.mean(made.edits)), 3),
        "seconds_per_picture": round(made.seconds / len(prompts), 5),
    }
    if any(made.edits):
        edited = np.flatnonzero((made.unedited != made.tokens).any((1, 2)))
        row["pictures_changed_by_edits"] = len(edited)
        if len(edited):
            mine = [prompts[i] for i in edited]
            before = verdicts(mine, judge.detect(decode(pipe, made.unedited[edited])))
            after = [right[i] for i in edited]
            row["made_right_by_edits"] = sum(a and not b for a, b in zip(after, before, strict=True))
            row["made_wrong_by_edits"] = sum(b and not a for a, b in zip(after, before, strict=True))
            row["left_right"] = sum(a and b for a, b in zip(after, before, strict=True))
    return row, right, made


def modes(pipe: Pipeline, prompts: list[Prompt], judge: Verifier, keep: Keep = _forget) -> dict:
    """Table B. The row at equal passes gives the forward passes that editing and polishing cost to plain sampling.

    `keep` is called with the rows so far, so that a run that is cut leaves what it had.
    """
    steps = pipe.settings().steps
    rows, rights = {}, {}

    def run(name: str, **settings: Any) -> dict:
        rows[name], rights[name], _ = _row(pipe, prompts, judge, **settings)
        print(name, rows[name]["score"]["mean"], flush=True)
        keep(rows)
        return rows[name]

    edit = run("edit (T2T)", edit="overwrite")
    run("off", edit="off")
    run("off, equal passes", edit="off", steps=max(steps, round(edit["forward_passes"])))
    run("remask (T2M)", edit="remask")
    for name, row in rows.items():
        if name != "off":
            gain, low, high = paired_difference(rights["off"], rights[name])
            row["gain_over_off"] = {"share": round(gain, 4), "low": round(low, 4), "high": round(high, 4)}
    return rows


def steps(pipe: Pipeline, prompts: list[Prompt], judge: Verifier, keep: Keep = _forget) -> dict:
    """Table C."""
    out = {}
    for n in STEPS:
        rights = {}
        for mode in ("off", "overwrite"):
            row, rights[mode], _ = _row(pipe, prompts, judge, edit=mode, steps=n)
            out[f"{n} {mode}"] = row
            print(n, mode, row["score"]["mean"], flush=True)
            keep(out)
        gain, low, high = paired_difference(rights["off"], rights["overwrite"])
        out[f"{n} overwrite"]["gain_over_off"] = {
            "share": round(gain, 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }
    return out


def heal(
    pipe: Pipeline, tokens: np.ndarray, prompts: Sequence[str], seeds: Sequence[int], **settings: Any
) -> tuple[np.ndarray, float]:
    """`Pipeline.heal` for a batch: edit-only passes over finished tokens [B, h, w]; and passes a picture."""
    config = pipe.settings(**settings)
    condition = pipe.forward.join([pipe.condition(p) for p in prompts])
    predict = pipe.predictor(condition, config)
    start = tokens.reshape(len(tokens), -1)
    out, passes = start.copy(), 0
    for records in sample(predict, start, config, seeds, mask_id=pipe.vocab_size, grid=pipe.grid):
        for b, record in enumerate(records):
            if record is not None:
                out[b] = record.tokens
                passes += record.step > 0
    return out.reshape(tokens.shape), passes / len(tokens)


def repair(
    pipe: Pipeline, prompts: list[Prompt], judge: Verifier, keep: Keep = _forget, batch: int = 256
) -> dict:
    """The self-correction test: break a share of the tokens of right pictures, let editing repair them.

    Broken tokens are drawn uniformly from the other ids. Reported: accepted as broken (editing off), accepted after
    repair, the share of broken tokens that got their old value back, and of sound tokens that were changed.
    """
    made = generate(pipe, [p.prompt for p in prompts], [NOISE + p.index for p in prompts], quiet=True)
    right = np.flatnonzero(verdicts(prompts, judge.detect(made.images)))
    mine, sound = [prompts[i] for i in right], made.tokens[right]
    out: dict = {"pictures": len(mine), "levels": []}
    if not mine:
        return out
    rng = np.random.default_rng(NOISE)
    for share in BROKEN:
        count = round(share * sound[0].size)
        flat = sound.reshape(len(sound), -1)
        where = rng.random(flat.shape).argsort(1).argsort(1) < count  # [B, L]
        broken = np.where(where, others(flat, pipe.vocab_size, rng), flat)
        level = {"broken_share": share, "off": _accepted(pipe, mine, judge, broken.reshape(sound.shape))}
        for name, settings in (
            ("on, as the sampler has it", {"edit": HEAL["edit"]}),
            ("on, as healing has it", HEAL),
        ):
            parts, passes = [], []
            for k in range(0, len(mine), batch):
                lot = mine[k : k + batch]
                tokens = broken[k : k + batch].reshape(-1, *pipe.grid)
                words, seeds = [p.prompt for p in lot], [NOISE + p.index for p in lot]
                fixed, n = heal(pipe, tokens, words, seeds, **settings)
                parts.append(fixed)
                passes.append(n)
            fixed = np.concatenate(parts).reshape(flat.shape)
            level[name] = {
                **_accepted(pipe, mine, judge, fixed.reshape(sound.shape)),
                "broken_tokens_restored": round(float((fixed == flat)[where].mean()), 4),
                "broken_tokens_changed": round(float((fixed != broken)[where].mean()), 4),
                "sound_tokens_changed": round(float((fixed != flat)[~where].mean()), 4),
                "passes": round(float(np.mean(passes)), 2),
            }
            print(share, name, level[name], flush=True)
        out["levels"].append(level)
        keep(out)
    return out


def _accepted(pipe: Pipeline, prompts: list[Prompt], judge: Verifier, tokens: np.ndarray) -> dict:
    score = summary(prompts, verdicts(prompts, judge.detect(decode(pipe, tokens))))
    total = [score["tags"][t] for t in score["tags"]]
    right, n = sum(t["right"] for t in total), sum(t["n"] for t in total)
    return {"accepted": right, "n": n, "share": round(right / n, 4)}
