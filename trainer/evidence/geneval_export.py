"""Pictures in GenEval's folder layout, for those who have its official judge.

    python -m trainer evidence geneval evaluation_metadata.jsonl --out geneval_pictures --samples 4

Reads GenEval's own evaluation_metadata.jsonl (or assets/emojieval/prompts.jsonl, which has the same form) and
writes 00000/metadata.jsonl and 00000/samples/0000.png ..., as its evaluate_images.py expects. The model knows
emoji, not COCO's classes: expect little from the official score, and read the model card before quoting it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_folder, run_command
from trainer.data.texts import text_of
from trainer.settings.evidence import Geneval


def read(path: Path) -> list[dict]:
    """The file's lines. ValueError names the first line that has no prompt."""
    try:
        rows = text_of(path.read_bytes()).split("\n")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    out = []
    for number, row in enumerate(rows, 1):
        if not row.strip():
            continue
        try:
            line = json.loads(row)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict) or not isinstance(line.get("prompt"), str):
            raise ValueError(f"line {number} of {path} is no GenEval record: it needs a field 'prompt'")
        out.append(line)
    return out


def export(
    pipe: Pipeline, lines: list[dict], out: Path, samples: int = 4, batch: int = 64, **settings: Any
) -> None:
    """One folder a line. Sample k of line i has the seed i * samples + k, so that a rerun gives the same pictures."""
    jobs = [(i, k) for i in range(len(lines)) for k in range(samples)]
    for i, line in enumerate(lines):
        folder = out / f"{i:05d}"
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        (folder / "metadata.jsonl").write_text(json.dumps(line), encoding="utf-8")
    for start in tqdm(range(0, len(jobs), batch), unit="batch"):
        part = jobs[start : start + batch]
        runs = pipe.generate_batch(
            [lines[i]["prompt"] for i, _ in part], [i * samples + k for i, k in part], **settings
        )
        for (i, k), run in zip(part, runs, strict=True):
            run.image.save(out / f"{i:05d}" / "samples" / f"{k:04d}.png")


def main() -> None:
    args = ask(Geneval, __doc__)
    lines = read(args.metadata)[: args.limit]
    out_folder(args.out)
    export(Pipeline.from_pretrained(args.model, args.device), lines, args.out, args.samples)
    print(f"{args.out}: {len(lines)} prompts, {args.samples} pictures each")


if __name__ == "__main__":
    run_command(main)
