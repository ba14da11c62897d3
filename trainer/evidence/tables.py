"""Tables A to D and the self-correction curve, with plots, from recorded runs.

    python -m trainer.evidence.tables                      tables and plots from what assets/evidence holds
    python -m trainer.evidence.tables --measure            first measure B, C and self-correction, shipped weights
    python -m trainer.evidence.tables --measure --limit 5  the same on a CPU, with few prompts

Table A is recorded by `python -m trainer.evidence.ablate`, table D by `python -m trainer.bench`; a table without a
record is left out. Prompts and noise are not those that any default was chosen on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from mdm_core.pipeline import SHIPPED, Pipeline
from trainer.command import open_device, out_folder, run_command, to_path, whole
from trainer.evaluate.__main__ import header
from trainer.evaluate.prompts import load
from trainer.evidence import editing
from trainer.evidence.pages import page
from trainer.evidence.plots import draw_all
from trainer.judge.detector import Verifier

PARTS = {"editing": editing.modes, "steps": editing.steps, "repair": editing.repair}


def measure(args: argparse.Namespace) -> None:
    open_device(args.device)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    judge, pipe = Verifier.load(args.verifier, device), Pipeline.from_pretrained(args.model, device)
    known = set(pipe.config.card["objects"]) if "objects" in pipe.config.card else None
    prompts = load(None, limit=args.limit, known=known)
    info = {**header(pipe, args.model, judge), "prompts": len(prompts)}
    for name in args.only:
        file = args.out / f"{name}.json"

        def keep(rows: dict, file: Path = file) -> None:
            file.write_text(json.dumps({**info, "rows": rows}, indent=1) + "\n")

        keep(PARTS[name](pipe, prompts, judge, keep))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="measure before the tables are made")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="what to measure")
    parser.add_argument("--limit", type=whole(1), default=100, help="prompts a tag")
    parser.add_argument("--model", type=to_path, default=SHIPPED)
    parser.add_argument("--verifier", type=to_path, default=None)
    parser.add_argument("--out", type=to_path, default=Path("assets/evidence"))
    parser.add_argument("--device", default=None)
    args = parser.parse_args()
    if args.measure:
        out_folder(args.out)
        measure(args)
    elif not any(args.out.glob("*.json")):
        parser.error(
            f"{args.out} holds no records: run this in a clone of Chisel, or make them with --measure."
        )
    out_folder(args.out)
    text = page(args.out, args.out.parent / "benchmarks")
    (args.out / "tables.md").write_text(text, encoding="utf-8")
    print(text)
    try:
        for drawn in draw_all(args.out):
            print(drawn)
    except ImportError:
        print("no plots: matplotlib is not installed")


if __name__ == "__main__":
    run_command(main)
