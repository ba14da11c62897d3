"""Two models on the same prompts and noise: the paired difference, with its interval.

    python -m trainer evaluate compare --model runs/one_pass/model --against assets/model --json one_pass.json

For weights that hold guidance the question is whether one pass loses anything against two: `--against` then is the
model that they were tuned from, and the record has a third row, the tuned weights guiding in two passes. 100 prompts
of each tag, seeds as in `evaluate`; settings of the command line go to all rows, anything else is each model's default.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from mdm_core.device import usable
from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_file, run_command
from trainer.evaluate.__main__ import header
from trainer.evaluate.controls import verdicts
from trainer.evaluate.generate import generate
from trainer.evaluate.prompts import Prompt, load
from trainer.evaluate.scoring import paired_difference, summary
from trainer.judge.detector import Verifier, sha256
from trainer.settings.evaluate import Compare

AGAINST = "against"


def compare(
    pipes: dict[str, Pipeline],
    prompts: list[Prompt],
    judge: Verifier,
    batch: int | None = None,
    **settings: Any,
) -> dict[str, dict]:
    """A row for each pipeline: its score, and the gain over the row `AGAINST`, which must be among them."""
    right, rows = {}, {}
    for name, pipe in pipes.items():
        made = generate(
            pipe, [p.prompt for p in prompts], [p.index for p in prompts], batch=batch, **settings
        )
        right[name] = verdicts(prompts, judge.detect(made.images))
        rows[name] = {
            "score": summary(prompts, right[name]),
            "passes": round(float(np.mean(made.passes)), 3),
            "edits": round(float(np.mean(made.edits)), 3),
            "seconds_per_picture": round(made.seconds / len(prompts), 4),
            "refused": [p.index for p, ok in zip(prompts, right[name], strict=True) if not ok],
        }
    for name, row in rows.items():
        gain, low, high = paired_difference(right[AGAINST], right[name])
        row["gain"] = {"share": round(gain, 4), "low": round(low, 4), "high": round(high, 4)}
    return rows


def table(rows: dict[str, dict]) -> str:
    """The rows as text."""
    lines = [f"{'':<22}{'mean':>7}{'95 %':>16}{'gain':>8}{'95 %':>16}{'passes':>8}{'s a picture':>13}"]
    for name, row in rows.items():
        mean, gain = row["score"]["mean"], row["gain"]
        lines.append(
            f"{name:<22}{mean['share']:7.1%}{mean['low']:9.1%}{mean['high']:7.1%}"
            f"{gain['share']:+8.1%}{gain['low']:+9.1%}{gain['high']:+7.1%}"
            f"{row['passes']:8.1f}{row['seconds_per_picture']:13.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    args = ask(Compare, __doc__)
    out_file(args.json)
    device = usable(args.device)
    judge = Verifier.load(args.verifier, device)
    pipes = {AGAINST: Pipeline.from_pretrained(args.against, device)}
    pipes["model"] = Pipeline.from_pretrained(args.model, device)
    if pipes["model"].facts.trained_guidance is not None:
        pipes["model, two passes"] = two = Pipeline.from_pretrained(args.model, device)
        two.backbone.one_pass = False  # type: ignore[attr-defined]  # weights that hold guidance have it
    words = [set(p.facts.card["objects"]) for p in pipes.values() if "objects" in p.facts.card]
    prompts = load(None, limit=args.limit, known=set.intersection(*words) if words else None)
    record = {**header(pipes["model"], args.model, judge), "settings": dict(args.set)}
    record["against"] = {
        "name": pipes[AGAINST].facts.name,
        "sha256": sha256(args.against / "model.safetensors"),
    }
    record["rows"] = compare(pipes, prompts, judge, args.batch, **dict(args.set))
    print(table(record["rows"]))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main)
