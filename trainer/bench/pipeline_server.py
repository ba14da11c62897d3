"""Runs the pipeline of whatever checkout it is started in, and answers for how long things took.

`python -m trainer bench pipeline` starts it: the text of this file, in the folder of the checkout. So it imports
nothing but what every version of mdm_core has. A JSON line (what, seed) comes in, a JSON line of figures goes out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from typing import Any

PROMPT = "three strawberries on a teal background"
BATCH = 64


def one(pipe: Any, seed: int) -> dict[str, float]:
    """One picture, decoded at every step: seconds until its first carved frame and its end, and of all cores."""
    began, worked, first, edits = time.perf_counter(), time.process_time(), 0.0, 0
    for record in pipe.stream(PROMPT, seed=seed):
        pipe.decode(record.tokens.reshape(pipe.grid))
        edits += len(record.edited)
        if record.step == 1:
            first = time.perf_counter() - began
    taken = time.perf_counter() - began
    worked = time.process_time() - worked
    return {"first_step_s": first, "picture_s": taken, "cpu_s": worked, "passes": record.step, "edits": edits}


def picture(pipe: Any, seed: int) -> dict[str, float]:
    """One picture of which nobody sees but the end."""
    began = time.perf_counter()
    pipe.generate(PROMPT, seed=seed).image  # noqa: B018  decodes
    return {"picture_s": time.perf_counter() - began}


def tokens(pipe: Any, seed: int) -> dict[str, float]:
    """One picture to its last token, not decoded."""
    began = time.perf_counter()
    run = pipe.generate(PROMPT, seed=seed)
    return {"picture_s": time.perf_counter() - began, "passes": run.records[-1].step}


def batch(pipe: Any, seed: int) -> dict[str, float]:
    """A batch to its last token, not decoded; passes of the picture that took most."""
    began = time.perf_counter()
    runs = pipe.generate_batch([PROMPT] * BATCH, list(range(seed * BATCH, (seed + 1) * BATCH)))
    return {"batch_s": time.perf_counter() - began, "passes": max(run.records[-1].step for run in runs)}


def peak(pipe: Any, seed: int) -> dict[str, float]:
    """Most memory so far: the process's, and on a GPU what PyTorch held there."""
    figures: dict[str, float] = {
        "peak_resident_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    }
    if pipe.device.type == "cuda":
        import torch

        figures["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Answers the benchmark of the pipeline for how long things took."
    )
    parser.add_argument("model", help="model folder")
    parser.add_argument("device", choices=["cpu", "cuda"])
    args = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    from mdm_core.pipeline import Pipeline

    pipe = Pipeline.from_pretrained(args.model, args.device)
    tasks = {"load": lambda *_: {}, **{task.__name__: task for task in (one, picture, tokens, batch, peak)}}
    for line in sys.stdin:
        what, seed = json.loads(line)
        print(json.dumps(tasks[what](pipe, seed)), file=answers, flush=True)


if __name__ == "__main__":
    main()
