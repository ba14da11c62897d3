"""How fast a picture is on this machine, and what it costs in memory.

    python -m trainer.bench.pipeline [--model assets/model] [--out assets/benchmarks/pipeline_cpu.json]

Every figure is the median of several runs of the real pipeline with its own defaults (12 steps, guidance, editing,
polish passes), each run decoded to a picture at every step as the page does.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from mdm_core.pipeline import SHIPPED, Pipeline
from trainer.bench.record import environment

PROMPT = "three strawberries on a teal background"


def one_run(pipe: Pipeline, seed: int, decode: bool) -> dict[str, float]:
    """Seconds until the start frame, the first carved frame, and the end of one picture."""
    began, first, passes, edits = time.perf_counter(), 0.0, 0, 0
    for record in pipe.stream(PROMPT, seed=seed):
        if decode:
            pipe.decode(record.tokens.reshape(pipe.grid))
        passes, edits = record.step, edits + len(record.edited)
        if record.step == 1:
            first = time.perf_counter() - began
    if not decode:
        pipe.decode(record.tokens.reshape(pipe.grid))
    return {"first_step_s": first, "picture_s": time.perf_counter() - began, "passes": passes, "edits": edits}


def import_and_load(model: Path) -> float:
    """Seconds from process start to a loaded pipeline, in a fresh process."""
    code = f"from mdm_core import Pipeline; Pipeline.from_pretrained({str(model)!r})"
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def measure(model: Path, runs: int) -> dict:
    pipe = Pipeline.from_pretrained(model)
    for seed in range(2):
        one_run(pipe, seed, True)
    out = {}
    for name, decode in (("every step decoded", True), ("final picture only", False)):
        done = [one_run(pipe, seed, decode) for seed in range(runs)]
        out[name] = {k: round(statistics.median(d[k] for d in done), 3) for k in done[0]}
        out[name]["slowest_s"] = round(max(d["picture_s"] for d in done), 3)
    out["load_s"] = round(statistics.median(import_and_load(model) for _ in range(3)), 2)
    out["peak_resident_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("assets/benchmarks/pipeline_cpu.json"))
    args = parser.parse_args()
    result = measure(args.model, args.runs)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(
        json.dumps({"environment": environment(torch.device("cpu")), **result}, indent=1) + "\n"
    )
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
