"""Tables A to D and the self-correction curve, with plots, from recorded runs.

    python -m trainer evidence tables                      tables and plots from what assets/evidence holds
    python -m trainer evidence tables --measure            first measure B, C and self-correction, shipped weights
    python -m trainer evidence tables --measure --limit 5  the same on a CPU, with few prompts

Table A is recorded by `python -m trainer evidence ablate`, table D by `python -m trainer bench`, those of credit for
neighbours and of editing from both sides by `python -m trainer evidence credit`; a table without a record is left out.
Prompts and noise are not those that any default was chosen on.
"""

from __future__ import annotations

import json
from pathlib import Path

from mdm_core.device import usable
from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_folder, run_command
from trainer.evaluate.__main__ import header
from trainer.evaluate.prompts import load
from trainer.evidence import editing
from trainer.evidence.credit.pages import credit_pages
from trainer.evidence.credit.plots import draw_credit
from trainer.evidence.pages import page
from trainer.evidence.plots import draw_all
from trainer.judge.detector import Verifier
from trainer.settings.evidence import Tables

MEASURED = {"editing": editing.modes, "steps": editing.steps, "repair": editing.repair}


def measure(args: Tables) -> None:
    device = usable(args.device)
    judge, pipe = Verifier.load(args.verifier, device), Pipeline.from_pretrained(args.model, device)
    known = set(pipe.facts.card["objects"]) if "objects" in pipe.facts.card else None
    prompts = load(None, limit=args.limit, known=known)
    info = {**header(pipe, args.model, judge), "prompts": len(prompts)}
    for name in args.only:
        file = args.out / f"{name}.json"

        def keep(rows: dict, file: Path = file) -> None:
            file.write_text(json.dumps({**info, "rows": rows}, indent=1) + "\n")

        keep(MEASURED[name](pipe, prompts, judge, keep))


def main() -> None:
    args = ask(Tables, __doc__)
    if args.measure:
        out_folder(args.out)
        measure(args)
    elif not any(args.out.glob("*.json")):
        raise ValueError(
            f"{args.out} holds no records: run this in a clone of Chisel, or make them with --measure."
        )
    out_folder(args.out)
    parts = [page(args.out, args.out.parent / "benchmarks").rstrip("\n"), *credit_pages(args.out)]
    text = "\n\n".join(parts) + "\n"
    (args.out / "tables.md").write_text(text, encoding="utf-8")
    print(text)
    try:
        for drawn in (*draw_all(args.out), *draw_credit(args.out)):
            print(drawn)
    except ImportError:
        print("no plots: matplotlib is not installed")


if __name__ == "__main__":
    run_command(main)
