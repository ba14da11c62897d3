"""How fast a picture is on this machine, and what it costs in memory.

    python -m trainer bench pipeline [--device cpu|cuda] [--model assets/model] [--out assets/benchmarks]
    python -m trainer bench pipeline --against CHECKOUT    beside another checkout's pipeline, in turns, in one run

Every figure is the median of several runs of the real pipeline with its own defaults (12 steps, guidance, editing,
polish passes). One picture is decoded at every step, as the page does, or at its end, or not at all; batches are timed
to their last token. Each checkout's pipeline runs in a process of its own (`pipeline_server.py`).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from mdm_core.device import default
from trainer.bench import pipeline_server
from trainer.bench.pipeline_server import BATCH
from trainer.command import ask, run_command
from trainer.record import environment
from trainer.settings.bench import ROOT as ROOT
from trainer.settings.bench import Picture

KINDS = {"every step decoded": "one", "final picture only": "picture", "tokens only": "tokens"}
BATCHED = f"batch of {BATCH}, tokens only"


class Served:
    """The pipeline of a checkout, in a process of its own."""

    def __init__(self, checkout: Path, model: Path, device: str):
        source = Path(pipeline_server.__file__).read_text()
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, str(model.resolve()), device],
            cwd=checkout,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdin is not None and self.process.stdout is not None  # they are pipes
        self.asked, self.said = self.process.stdin, self.process.stdout
        self.ask("load")
        self.load_s = time.perf_counter() - began  # from the start of the process

    def ask(self, what: str, seed: int = 0) -> dict[str, float]:
        print(json.dumps([what, seed]), file=self.asked, flush=True)
        line = self.said.readline()
        if not line:
            raise SystemExit("the measured pipeline ended early; what it said stands above")
        return json.loads(line)

    def close(self) -> None:
        self.asked.close()
        self.process.wait()


def measure(checkouts: dict[str, Path], model: Path, device: str, runs: int) -> dict[str, dict]:
    """Figures of each checkout's pipeline; they take turns, so that a disturbance hits all alike."""
    out: dict[str, dict] = {name: {} for name in checkouts}
    served = {name: Served(path, model, device) for name, path in checkouts.items()}
    for name, pipeline in served.items():
        # the first picture of a process: kernels are looked up or built, graphs captured, pages faulted in
        first = pipeline.ask("picture")["picture_s"]
        out[name] |= {"load_s": round(pipeline.load_s, 2), "first_picture_s": round(first, 3)}
    for title, what in (KINDS | ({BATCHED: "batch"} if device != "cpu" else {})).items():
        done: dict[str, list[dict]] = {name: [] for name in served}
        for seed in range(runs + 2):
            for name, pipeline in served.items():
                done[name].append(pipeline.ask(what, seed))
        for name, figures in done.items():
            out[name][title] = summary(figures[2:])  # the first two warm up
    for name, pipeline in served.items():
        out[name] |= pipeline.ask("peak")
        pipeline.close()
    return out


def total(figures: dict) -> str:
    """The key of the figure that says how long it took."""
    return "batch_s" if "batch_s" in figures else "picture_s"


def summary(figures: list[dict]) -> dict[str, float]:
    """Medians, the slowest run, and pictures a second."""
    key = total(figures[0])
    out = {name: round(statistics.median(f[name] for f in figures), 4) for name in figures[0]}
    out["slowest_s"] = round(max(f[key] for f in figures), 4)
    out["pictures_per_s"] = round((BATCH if key == "batch_s" else 1) / out[key], 2)
    return out


def main() -> None:
    args = ask(Picture, __doc__)
    device = args.device or str(default())
    if args.against and not (args.against / "mdm_core").is_dir():
        raise ValueError(f"{args.against} is no checkout: it holds no folder mdm_core")
    checkouts = {"here": ROOT} | ({"against": args.against} if args.against else {})
    found = measure(checkouts, args.model, device, args.runs)
    record = {"environment": environment(torch.device(device), args.commit), **found["here"]}
    if args.against:
        here, other = found["here"], found["against"]
        record["against"] = {"checkout": args.against.name, **other}
        record["times_faster"] = {
            title: round(other[title][total(figures)] / figures[total(figures)], 2)
            for title, figures in here.items()
            if isinstance(figures, dict)
        }
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"pipeline_{device}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))
    print("wrote", path)


if __name__ == "__main__":
    run_command(main)
