"""The page of failures: which pictures were refused, and why.

    python -m trainer evidence failures [--record assets/evidence/emojieval.json]

Reads a record of `python -m trainer evaluate --json ... --tokens ...` and writes failures.md and failures.webp
beside it (the tokens of a run are not kept in the repository: evaluate writes them). Nothing is picked: the picture
shows the first refused prompts of each tag, in the order of the file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from safetensors.numpy import load_file

from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_folder, run_command
from trainer.evaluate.generate import decode
from trainer.evaluate.prompts import TAGS, Prompt, load
from trainer.evaluate.report import grid
from trainer.evidence.sheet import wrapped
from trainer.settings.evidence import Failures

SHOWN = 6  # refused prompts a tag
CAUSES = {
    "the judge": "the verifier refuses even the true rendering of this prompt",
    "the image tokenizer": "the true rendering is accepted, but not after its round trip through the tokenizer",
    "broken object": "something is there that the verifier cannot name: parts of two objects, or holes",
    "missing": "an object that was asked for was not found, or not often enough",
    "unasked object": "another object is there: a look-alike, or a mix-up of words",
    "too many": "an object more often than asked",
    "colour": "the right object in another colour",
    "position": "the right objects, not lying as asked",
}


def cause(index: int, wrong: list[str], record: dict) -> str:
    """The first that applies, from the judge to the picture. A refused control excuses nothing in the score."""
    controls = record["refused_controls"]
    if index in controls["real renders"]:
        return "the judge"
    if index in controls["round trip"]:
        return "the image tokenizer"
    return next(c for c in CAUSES if c in wrong)


def write(record: dict, tokens: dict[int, np.ndarray], pipe: Pipeline, out: Path) -> None:
    prompts = {p.index: p for p in load()}
    refused = [(prompts[i], wrong, found) for i, wrong, found in record["pictures"] if wrong]
    causes = {p.index: cause(p.index, wrong, record) for p, wrong, _ in refused}
    parts = [
        "# Failures",
        f"{len(refused)} of {len(record['pictures'])} pictures were refused; made by "
        "`python -m trainer evidence failures`. The cause is the first of the list that applies, found by the "
        "verifier and the controls: no person looked at the pictures to assign it. It needs the tokens that "
        "`python -m trainer evaluate --json ... --tokens ...` writes beside the record.",
    ]
    tags = [t for t in TAGS if any(p.tag == t for p, _, _ in refused)]
    count = {t: Counter(causes[p.index] for p, _, _ in refused if p.tag == t) for t in tags}
    parts.append(
        grid(
            ["cause", *tags, "all", "meaning"],
            [
                [c, *(str(count[t][c]) for t in tags), str(sum(count[t][c] for t in tags)), meaning]
                for c, meaning in CAUSES.items()
            ],
        )
    )
    parts += ["## Where", where(refused, record, prompts)]
    shown = [r for t in tags for r in [r for r in refused if r[0].tag == t][:SHOWN]]
    picture(shown, causes, tokens, pipe, out / "failures.webp")
    parts += ["## The first refused prompts of each tag", "![refused pictures](failures.webp)"]
    parts.append(
        grid(
            ["prompt", "split", "verifier found", "cause"],
            [[p.prompt, p.split, ", ".join(f) or "nothing", causes[p.index]] for p, _, f in shown],
        )
    )
    (out / "failures.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def where(refused: list, record: dict, prompts: dict[int, Prompt]) -> str:
    """Refusal rates by style, by split, and the objects refused most often."""
    bad = {p.index for p, _, _ in refused}
    everyone = [prompts[i] for i, _, _ in record["pictures"]]
    lines = []
    kinds: dict[str, Callable[[Prompt], str]] = {
        "style of the prompt's scene": lambda p: p.scene.style,
        "split": lambda p: p.split,
    }
    for label, key in kinds.items():
        groups: dict[str, list[bool]] = {}
        for p in everyone:
            groups.setdefault(key(p), []).append(p.index in bad)
        rates = ", ".join(f"{k} {100 * np.mean(v):.1f} % of {len(v)}" for k, v in sorted(groups.items()))
        lines.append(f"- by {label}: {rates}")
    objects: dict[str, list[bool]] = {}
    for p in everyone:
        for entry in p.include:
            objects.setdefault(entry["class"], []).append(p.index in bad)
    worst = sorted(objects, key=lambda o: (-np.mean(objects[o]), -len(objects[o]), o))
    worst = [o for o in worst if len(objects[o]) >= 5][:12]
    lines.append(
        "- objects in refused pictures most often (of those asked for five times or more): "
        + ", ".join(f"{o} {sum(objects[o])}/{len(objects[o])}" for o in worst)
    )
    return "\n".join(lines)


def picture(
    shown: list, causes: dict, tokens: dict, pipe: Pipeline, path: Path, columns: int = SHOWN
) -> None:
    """The refused pictures with prompt and cause, one row a tag."""
    cell, label = 160, 56
    rows = -(-len(shown) // columns)
    canvas = Image.new("RGB", (columns * cell, rows * (cell + label)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    images = decode(pipe, np.stack([tokens[p.index] for p, _, _ in shown]))
    for i, ((p, _, _), pixels) in enumerate(zip(shown, images, strict=True)):
        x, y = i % columns * cell, i // columns * (cell + label)
        image = Image.fromarray(pixels.numpy()).resize((cell - 6, cell - 6), Image.Resampling.LANCZOS)
        canvas.paste(image, (x + 3, y + 3))
        for line, text in enumerate(wrapped(p.prompt, font, cell - 8)[:3]):
            draw.text((x + 4, y + cell - 2 + 13 * line), text, fill=(60, 60, 60), font=font)
        draw.text((x + 4, y + cell + 37), causes[p.index], fill=(180, 83, 9), font=font)
    canvas.save(path, quality=86)


def read_record(path: Path) -> dict:
    """A record of `python -m trainer evaluate`; ValueError when the file is none."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} holds no record of `python -m trainer evaluate` ({error})") from error
    if not isinstance(record, dict) or "pictures" not in record:
        raise ValueError(f"{path} holds no record of `python -m trainer evaluate`")
    return record


def main() -> None:
    args = ask(Failures, __doc__)
    kept = args.tokens or args.record.with_name(args.record.stem + "_tokens.safetensors")
    for file in (args.record, kept):
        if not file.is_file():
            make = f"python -m trainer evaluate --json {args.record} --tokens {kept}"
            raise ValueError(f"{file} is missing: run this in a clone of Chisel, or make it with `{make}`.")
    record = read_record(args.record)
    out_folder(args.record.parent)
    stored = load_file(kept)
    tokens = dict(zip(stored["index"].tolist(), stored["tokens"], strict=True))
    write(record, tokens, Pipeline.from_pretrained(args.model, "cpu"), args.record.parent)
    print(args.record.parent / "failures.md")


if __name__ == "__main__":
    run_command(main)
