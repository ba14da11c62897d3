"""Score a model on EmojiEval.

    python -m trainer evaluate --quick                              five minutes on two cores
    python -m trainer evaluate --json assets/evidence/emojieval.json        all 2,400 prompts
    python -m trainer evaluate --model runs/emoji/model --tags counting position --limit 50 --set steps=16
    python -m trainer evaluate --model runs/world/model --world world_256

The world is that of the model's card where it says so, and the judge is that of the world. Prints the table with its
control rows, and what the judge itself is worth: its accuracy on real renders, the round trip through the image
tokenizer (the ceiling), the share of near misses that it refuses, and how often template matching agrees. In a larger
world the judge of 128 pixels gives a second opinion, on halved pictures of its own objects. The noise seed of a
picture is its prompt's place in the file, so that runs are paired.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mdm_core.device import usable
from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_file, run_command
from trainer.evaluate.controls import (
    agreement,
    frechet,
    renders_and_round_trip,
    shuffled,
    specificity,
    verdicts,
)
from trainer.evaluate.generate import Artist, Pictures, generate_on
from trainer.evaluate.prompts import Prompt, choose, tags_of
from trainer.evaluate.report import tables
from trainer.evaluate.scoring import mistakes, second_opinion, summary
from trainer.evaluate.templates import Templates
from trainer.evaluate.worlds import open_atlas, open_judge, prompts_of, world_of
from trainer.judge.detector import Verifier, sha256
from trainer.record import environment
from trainer.scenes.atlas import Atlas
from trainer.scenes.spec import EMOJI_128
from trainer.settings.evaluate import QUICK, Evaluate


def evaluate(
    pipe: Pipeline,
    prompts: list[Prompt],
    made: Pictures,
    judge: Verifier,
    atlas: Atlas | None = None,
    **settings: Any,
) -> dict:
    """The whole record for a pipeline and the pictures it made for the prompts; `atlas`: of the judge's world."""
    spec = judge.spec
    atlas = open_atlas(spec, None) if atlas is None else atlas
    card = pipe.facts.card
    known = atlas.styles if spec is EMOJI_128 else spec.styles_in(atlas.styles)
    styles = [s for s in card.get("styles", known) if s in atlas.styles]
    scenes_styles = sorted({p.scene.style for p in prompts} | set(styles), key=atlas.styles.index)
    n_objects = len(atlas)
    artist = Artist(atlas, n_objects, scenes_styles, pipe.device, spec)
    found = judge.detect(made.images)
    right = verdicts(prompts, found)
    wrong = [mistakes(p, f) for p, f in zip(prompts, found, strict=True)]
    real, ceiling, drawn, back = renders_and_round_trip(prompts, judge, artist, pipe)
    templates = Templates(atlas, n_objects, scenes_styles, judge.device, spec)
    features = [judge.features(images).numpy() for images in (drawn, back, made.images)]
    told = {}
    if spec is not EMOJI_128:
        told["second_opinion"] = second_opinion(
            prompts,
            open_judge(EMOJI_128, device=judge.device),
            {"model": made.images, "real renders": drawn},
            {"model": right, "real renders": real},
        )
    return {
        "settings": dict(vars(pipe.settings(**settings))),
        "rows": {
            "model": summary(prompts, right),
            "real renders": summary(prompts, real),
            "round trip": summary(prompts, ceiling),
            "shuffled prompts": summary(prompts, shuffled(prompts, found)),
        },
        **told,
        "refused_controls": {
            "real renders": [p.index for p, ok in zip(prompts, real, strict=True) if not ok],
            "round trip": [p.index for p, ok in zip(prompts, ceiling, strict=True) if not ok],
        },
        "near_misses_refused": specificity(prompts, judge, artist, atlas, n_objects),
        "template_agreement": {
            "real renders": agreement(prompts, drawn, judge.detect(drawn), templates),
            "model": agreement(prompts, made.images, found, templates),
        },
        "frechet_to_real_renders": {
            "model": round(frechet(features[2], features[0]), 4),
            "round trip": round(frechet(features[1], features[0]), 4),
        },
        "mistakes": tally(prompts, wrong),
        "seconds_per_picture": round(made.seconds / len(prompts), 4),
        "forward_passes": round(float(np.mean(made.passes)), 3),
        "edits_per_picture": round(float(np.mean(made.edits)), 3),
        "pictures": [
            [p.index, w, [f"{d.colour + ' ' if d.colour else ''}{d.name}" for d in f]]
            for p, w, f in zip(prompts, wrong, found, strict=True)
        ],
    }


def tally(prompts: list[Prompt], wrong: list[list[str]]) -> dict[str, dict[str, int]]:
    """Pictures of each tag with each kind of mistake; one picture may have several."""
    out: dict[str, Counter] = {p.tag: Counter() for p in prompts}
    for p, w in zip(prompts, wrong, strict=True):
        out[p.tag].update(set(w))
    return {tag: dict(count) for tag, count in out.items()}


def header(pipe: Pipeline, model: Path, judge: Verifier) -> dict:
    """What explains the figures: machine, weights, budget, judge."""
    card = pipe.facts.card
    return {
        "environment": environment(pipe.device),
        "model": {
            "sha256": sha256(model / "model.safetensors"),
            **{k: card.get(k) for k in ("parameters", "samples", "minutes", "styles")},
            "objects": len(card.get("objects", [])),
        },
        "world": judge.spec.name,
        "verifier_sha256": judge.card["sha256"],
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def main() -> None:
    args = ask(Evaluate, __doc__)
    out_file(args.json)
    out_file(args.tokens, (".safetensors",))
    device = usable(args.device)
    pipe = Pipeline.from_pretrained(args.model, device)
    spec = world_of(pipe, args.world)
    tags = tuple(args.tags or tags_of(spec))
    if missing := [t for t in tags if t not in tags_of(spec)]:
        raise ValueError(
            f"{spec.name} has no prompts of the tag {missing[0]}: choose from {', '.join(tags_of(spec))}"
        )
    atlas, judge = open_atlas(spec, args.atlas), open_judge(spec, args.verifier, device)
    known = set(pipe.facts.card["objects"]) if "objects" in pipe.facts.card else None
    limit = min(QUICK, args.limit or QUICK) if args.quick else args.limit
    prompts = choose(prompts_of(spec, atlas, args.prompts), tags, limit, known)
    prompts = [p for p in prompts if args.split in ("both", p.split)]
    if not prompts:
        raise ValueError("no prompt is left: choose other tags or another split")
    info = header(pipe, args.model, judge)
    settings = dict(args.set)
    mark = info["model"]["sha256"]
    prompts, made = generate_on(pipe, prompts, args.tokens, args.minutes, mark, args.batch, **settings)
    record = {**info, **evaluate(pipe, prompts, made, judge, atlas, **settings)}
    print(tables(record))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(record, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    run_command(main)
