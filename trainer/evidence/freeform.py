"""Prompts as people type them: how often is the picture right, by the kind of difficulty?

    python -m trainer evidence freeform --out assets/evidence/freeform.json
    python -m trainer evidence freeform --model runs/world/model --out runs/freeform.json

The 100 prompts of a world (assets/emojieval/freeform.jsonl; freeform_world_256.jsonl for the one at 256 pixels) were
written by an AI before any picture of theirs was looked at, and have not been changed since. A prompt that names
nothing the model knows has no right picture: there the record says whether the page would notice, and whether it would
offer something near.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mdm_core.device import usable
from mdm_core.explain.vocabulary import Vocabulary
from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_file, run_command
from trainer.evaluate.__main__ import header
from trainer.evaluate.generate import generate
from trainer.evaluate.prompts import FOLDER, Prompt
from trainer.evaluate.report import grid, percent
from trainer.evaluate.scoring import mistakes, share
from trainer.evaluate.worlds import open_judge, world_of
from trainer.judge.detector import Verifier
from trainer.scenes.scene import Scene
from trainer.scenes.spec import EMOJI_128, SceneSpec
from trainer.settings.evidence import Freeform

SEED = 3_000_000  # noise of prompt 0; each prompt has its own


def load(path: Path | None = None, spec: SceneSpec = EMOJI_128) -> list[tuple[str, Prompt]]:
    """(kind, prompt) of every line of a world's file. These prompts come without a scene."""
    out = []
    file = path or FOLDER / ("freeform.jsonl" if spec is EMOJI_128 else f"freeform_{spec.name}.jsonl")
    for i, row in enumerate(file.read_text(encoding="utf-8").splitlines()):
        line = json.loads(row)
        scene = Scene(line["tag"], "", "", (), None, line["prompt"], False, False)
        told = line["prompt"], line["include"], line["exclude"]
        out.append((line["kind"], Prompt(SEED + i, line["tag"], "freeform", *told, scene, spec)))
    return out


def run(pipe: Pipeline, judge: Verifier, lines: list[tuple[str, Prompt]]) -> dict:
    prompts = [p for _, p in lines]
    made = generate(pipe, [p.prompt for p in prompts], [p.index for p in prompts], quiet=True)
    vocabulary = Vocabulary.from_card(pipe.facts.card)
    rows: list[dict[str, Any]] = []
    for (kind, p), found in zip(lines, judge.detect(made.images), strict=True):
        told = vocabulary.understand(p.prompt)
        rows.append(
            {
                "kind": kind,
                "prompt": p.prompt,
                "right": not mistakes(p, found) if p.include else None,
                "mistakes": mistakes(p, found) if p.include else [],
                "found": [f"{d.colour + ' ' if d.colour else ''}{d.name}" for d in found],
                "objects_understood": told.objects,
                "unknown_words": [u.word for u in told.unknown],
                "offers": sorted({n for u in told.unknown for n in u.near}),
            }
        )
    kinds = {}
    for kind in dict.fromkeys(k for k, _ in lines):
        mine = [r for r in rows if r["kind"] == kind]
        judged = [r["right"] for r in mine if r["right"] is not None]
        kinds[kind] = {
            "n": len(mine),
            "right": share(judged) if judged else None,
            "unknown_words_noticed": sum(bool(r["unknown_words"]) for r in mine),
            "something_near_offered": sum(bool(r["offers"]) for r in mine),
        }
    return {"kinds": kinds, "rows": rows}


def main() -> None:
    args = ask(Freeform, __doc__)
    out_file(args.out)
    device = usable(args.device)
    began = time.time()
    pipe = Pipeline.from_pretrained(args.model, device)
    spec = world_of(pipe, args.world)
    judge = open_judge(spec, args.verifier, device)
    record = {**header(pipe, args.model, judge), **run(pipe, judge, load(spec=spec))}
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    print(table(record))
    print(f"{time.time() - began:.0f} s")


def table(record: dict) -> str:
    rows = [
        [
            kind,
            str(k["n"]),
            percent(k["right"]),
            str(k["unknown_words_noticed"]),
            str(k["something_near_offered"]),
        ]
        for kind, k in record["kinds"].items()
    ]
    return grid(
        ["kind", "prompts", "right, per cent", "unknown words noticed", "something near offered"], rows
    )


if __name__ == "__main__":
    run_command(main)
