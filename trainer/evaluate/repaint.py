"""The repaint benchmark: is one thing added, removed, replaced or recoloured, and does the rest stay?

    python -m trainer evaluate repaint                                  300 tasks on the shipped weights
    python -m trainer evaluate repaint --model runs/world/model --world world_256 \\
        --json assets/evidence/repaint.json --beside assets/evidence/repaint_128.json
    python -m trainer evaluate repaint --limit 5                        a few of each kind

75 tasks of each kind. A picture is drawn and encoded, the cells of the region are masked and made anew with the
caption of the result, and the judge looks: exactly what the caption names must be there, the other thing must still be
found in its place, and every token outside the region must be the one that was there. Beside it, things that are copied
and moved by whole tokens, which must come out exactly. The control rows judge, with the same rules, the true result
drawn, its round trip through the image tokenizer (the ceiling), and the picture as it was (which must be near zero).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mdm_core.device import usable
from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_file, run_command
from trainer.evaluate.__main__ import header
from trainer.evaluate.generate import Artist, decode, encode
from trainer.evaluate.repaint_tasks import EVERY_KIND, SEED, Task, tasks
from trainer.evaluate.report import grid, of_world, percent
from trainer.evaluate.scoring import bootstrap_mean, share
from trainer.evaluate.worlds import open_atlas, open_judge, world_of
from trainer.judge.detector import Detection, Verifier
from trainer.judge.rules import mistakes
from trainer.scenes.atlas import Atlas
from trainer.scenes.repaint import KINDS
from trainer.scenes.scene import SceneObject
from trainer.settings.evaluate import Repaint


def made_anew(
    pipe: Pipeline, todo: list[Task], before: np.ndarray, batch: int | None = None, **settings: Any
) -> np.ndarray:
    """Tokens of the results, int [n, h, w]; `before`: those of the pictures that are changed."""
    batch = batch or (256 if pipe.device.type == "cuda" else 12)
    out = []
    for k in tqdm(range(0, len(todo), batch), desc="repainted", unit="batch"):
        part = todo[k : k + batch]
        runs = pipe.generate_batch(
            [t.prompt for t in part],
            [SEED + t.index for t in part],
            tokens=[t.start(b, pipe.vocab_size) for t, b in zip(part, before[k : k + batch], strict=True)],
            region=[t.region for t in part],
            **settings,
        )
        out += [np.asarray(r.tokens) for r in runs]
    return np.stack(out).astype(np.int64)


def judged(task: Task, found: list[Detection], margin: float) -> dict:
    """What the judge says: whether the caption is true, and whether what was to stay is still in its place."""
    truth = task.after.truth()
    wrong = mistakes(truth["include"], truth["exclude"], found, margin)
    return {"asked": not wrong, "kept": all(_there(o, found) for o in task.kept), "mistakes": wrong}


def _there(thing: SceneObject, found: list[Detection]) -> bool:
    """Whether a thing of that name, in its colour where it has one, has its middle within the thing's box."""
    return any(
        d.name == thing.name
        and thing.colour in (None, d.colour)
        and thing.x <= d.centre[0] <= thing.x + thing.size
        and thing.y <= d.centre[1] <= thing.y + thing.size
        for d in found
    )


def evaluate(
    pipe: Pipeline,
    todo: list[Task],
    judge: Verifier,
    artist: Artist,
    batch: int | None = None,
    **settings: Any,
) -> dict:
    """The whole record of a pipeline on the tasks."""
    margin = judge.spec.cell
    drawn = artist.draw([t.before for t in todo])
    before = encode(pipe, drawn)
    made = made_anew(pipe, todo, before, batch, **settings)
    true = artist.draw([t.after for t in todo])
    pictures = {
        "model": decode(pipe, made),
        "real renders": true,
        "round trip": decode(pipe, encode(pipe, true)),
        "as it was": decode(pipe, before),
    }
    rows, every = {}, {}
    for row, images in pictures.items():
        found = judge.detect(images)
        told = [judged(t, f, margin) for t, f in zip(todo, found, strict=True)]
        for t, told_of, b, m in zip(todo, told, before, made, strict=True):
            told_of["exact"] = t.rest_is_exact(b, m) if row == "model" else True
            told_of["right"] = told_of["asked"] and told_of["kept"] and told_of["exact"]
        every[row] = (told, found)
        rows[row] = by_kind(todo, told)
    told, found = every["model"]
    return {
        "settings": dict(vars(pipe.settings(**settings))),
        "rows": rows,
        "tasks": [
            {
                "kind": t.kind,
                "split": t.split,
                "prompt": t.prompt,
                "cells": int(t.region.sum()),
                **{k: v for k, v in one.items() if k != "right"},
                "found": [f"{d.colour + ' ' if d.colour else ''}{d.name}" for d in f],
            }
            for t, one, f in zip(todo, told, found, strict=True)
        ],
    }


def by_kind(todo: list[Task], told: list[dict]) -> dict:
    """Shares with Wilson intervals by kind, what they are made of, and the mean over the kinds that are drawn."""
    out: dict = {"kinds": {}}
    for kind in EVERY_KIND:
        mine = [one for t, one in zip(todo, told, strict=True) if t.kind == kind]
        if mine:
            parts = {k: share([one[k] for one in mine])["share"] for k in ("asked", "kept", "exact")}
            out["kinds"][kind] = {**share([one["right"] for one in mine]), **parts}
    for split in (None, "seen", "held_out"):
        lots = {
            kind: [
                one["right"]
                for t, one in zip(todo, told, strict=True)
                if t.kind == kind and split in (None, t.split)
            ]
            for kind in KINDS
        }
        if lots := {k: v for k, v in lots.items() if v}:
            middle, low, high = bootstrap_mean(lots)
            out["mean" if split is None else split] = {
                "share": round(middle, 4),
                "low": round(low, 4),
                "high": round(high, 4),
            }
    return out


def table(record: dict, beside: dict | None = None) -> str:
    """The record as Markdown; `beside`: that of other weights."""
    rows = dict(record["rows"])
    if beside:
        other = f"model {beside['model']['sha256'][:12]}{of_world(beside)}"
        rows = {"model": rows.pop("model"), other: beside["rows"]["model"], **rows}
    kinds = [k for k in EVERY_KIND if any(k in r["kinds"] for r in rows.values())]
    head = ["right, per cent", *kinds, "mean", "seen", "held out"]
    body = [
        [
            name,
            *(percent(r["kinds"].get(k)) for k in kinds),
            *(percent(r.get(k)) for k in ("mean", "seen", "held_out")),
        ]
        for name, r in rows.items()
    ]
    judge, model = (digest[:12] for digest in (record["verifier_sha256"], record["model"]["sha256"]))
    parts = [
        [kind, *(f"{100 * v[k]:.1f}" for k in ("asked", "kept", "exact"))]
        for kind, v in record["rows"]["model"]["kinds"].items()
    ]
    return "\n\n".join(
        [
            f"Repainting{of_world(record)}, {len(record['tasks'])} tasks, verifier {judge}, model {model}; the mean is "
            f"of {', '.join(KINDS)}",
            grid(head, body),
            "What the model's figures are made of, per cent",
            grid(["kind", "as the caption says", "the other thing stays", "other tokens exact"], parts),
        ]
    )


def beside_of(path: Path | None) -> dict | None:
    """A record that this command wrote; ValueError for anything else."""
    if path is None:
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["rows"]["model"]["kinds"], record["model"]["sha256"][:12]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no record of the repaint benchmark: {error}") from None
    return record


def open_tasks(
    pipe: Pipeline, judge: Verifier, atlas: Atlas, per_kind: int, kinds: tuple[str, ...]
) -> tuple[list[Task], Artist]:
    """Tasks of the objects and styles that a model knows, and who draws them."""
    spec, card = judge.spec, pipe.facts.card
    known = card.get("objects", [o.name for o in atlas.objects])
    n = len(known)
    if list(known) != [o.name for o in atlas.objects[:n]]:
        raise ValueError(f"the model's objects are not the first {n} of the sprites in {atlas.root}")
    styles = [s for s in card.get("styles", spec.styles_in(atlas.styles)) if s in atlas.styles]
    return tasks(atlas, spec, styles, n, per_kind, kinds), Artist(atlas, n, styles, pipe.device, spec)


def main() -> None:
    args = ask(Repaint, __doc__)
    out_file(args.json)
    beside = beside_of(args.beside)
    device = usable(args.device)
    pipe = Pipeline.from_pretrained(args.model, device)
    spec = world_of(pipe, args.world)
    atlas, judge = open_atlas(spec, args.atlas), open_judge(spec, args.verifier, device)
    todo, artist = open_tasks(pipe, judge, atlas, args.limit, args.kinds)
    info = header(pipe, args.model, judge)
    record = {**info, **evaluate(pipe, todo, judge, artist, args.batch, **dict(args.set))}
    print(table(record, beside))
    if args.json:
        args.json.write_text(json.dumps(record, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    run_command(main)
