"""Choose sampling defaults without the judge: on prompts of their own, by template matching.

    python -m trainer evidence tune --out assets/evidence/tuning.json

The prompts are drawn from another lot than EmojiEval's and share no sentence with them; the verdict is that of
`trainer.evaluate.layouts`, which knows the verifier neither as a judge nor as a guide. Every candidate costs the
same number of steps; "defaults" are the opened model's own. Writes the record; changing the defaults is left to
whoever reads it.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_file, run_command
from trainer.evaluate.generate import Artist, generate
from trainer.evaluate.layouts import accepts
from trainer.evaluate.prompts import Prompt, load, make
from trainer.evaluate.report import score_table
from trainer.evaluate.scoring import paired_difference, summary
from trainer.evaluate.templates import Templates
from trainer.record import environment
from trainer.scenes.atlas import Atlas
from trainer.settings.evidence import CANDIDATES, Tune

SEED = 5_000_003
# grey levels to the nearest sprite: nearly all round trips of true renders pass, blurred objects fail
STRICT = 16.0


def prompts_apart(atlas: Atlas, n_objects: int, styles: list[str], per_tag: int) -> list[Prompt]:
    """Prompts for choosing: another lot, none of EmojiEval's sentences."""
    taken = {p.prompt.lower() for p in load()}
    lines = make(atlas, n_objects, tuple(styles), per_tag, seed=SEED)
    return [Prompt.read(i, line) for i, line in enumerate(lines) if line["prompt"].lower() not in taken]


def main() -> None:
    args = ask(Tune, __doc__)
    out_file(args.out)
    out_file(args.best)
    pipe, atlas = Pipeline.from_pretrained(args.model, args.device), Atlas.load()
    card = pipe.facts.card
    prompts = prompts_apart(atlas, len(card["objects"]), card["styles"], args.per_tag)
    templates = Templates(atlas, len(card["objects"]), card["styles"], pipe.device)
    drawn = Artist(atlas, len(card["objects"]), card["styles"]).draw([p.scene for p in prompts])
    rows: dict[str, dict[str, Any]] = {
        "real renders": {"score": summary(prompts, accepts(templates, drawn, prompts, STRICT))}
    }
    rights: dict[str, list[bool]] = {}
    record = {
        "environment": environment(pipe.device),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "prompts": len(prompts),
        "rows": rows,
    }
    for name in args.only:
        settings = CANDIDATES[name]
        seeds = [SEED + p.index for p in prompts]
        made = generate(pipe, [p.prompt for p in prompts], seeds, quiet=True, **settings)
        rights[name] = accepts(templates, made.images, prompts, STRICT)
        rows[name] = {
            "settings": settings,
            "model_defaults": dict(pipe.facts.defaults),  # what the settings do not name
            "score": summary(prompts, rights[name]),
            "edits_per_picture": round(float(np.mean(made.edits)), 2),
        }
        gain, low, high = paired_difference(rights[args.only[0]], rights[name])
        rows[name]["gain"] = {"share": round(gain, 4), "low": round(low, 4), "high": round(high, 4)}
        print(name, rows[name]["score"]["mean"], flush=True)
        args.out.write_text(json.dumps(record, indent=1) + "\n")
    best = max(args.only, key=lambda n: rows[n]["score"]["mean"]["share"])  # the first of equals
    print(f"best: {best}")
    if args.best:
        args.best.write_text(" ".join(f"{k}={v}" for k, v in CANDIDATES[best].items()))
    print(score_table({name: row["score"] for name, row in rows.items()}))


if __name__ == "__main__":
    run_command(main)
