"""What a published model of full size costs on this machine: aMUSEd with random weights, run as a user would.

    python -m trainer bench amused [--side 16|32] [--device cpu|cuda] [--out assets/benchmarks]

A folder in the published layout is written to a temporary place first (1.7 GB, fp16); random weights take the time and
memory of trained ones, and draw nothing. A process of its own then opens it by `Pipeline.from_pretrained` and makes a
picture of 12 steps with guidance, decoded once and at every step; its peak memory is what the record holds.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import nn

from mdm_core.device import default
from mdm_core.families.amused.config import UViTConfig
from mdm_core.families.amused.uvit import UViT
from mdm_core.families.published import folder as layout
from mdm_core.families.published.clip import ClipText
from mdm_core.families.published.config import ClipConfig, VQConfig
from mdm_core.families.published.prompts import END, START
from mdm_core.families.published.vqgan import VQGAN
from mdm_core.pipeline import Pipeline
from trainer.command import ask, out_folder, run_command
from trainer.record import environment
from trainer.settings.bench import SIDES, Amused

VQ = VQConfig((128, 256, 256, 512, 768), 2, 64, 8192)
TEXT = ClipConfig(49408, 768, 3072, 768, 12, 12, eos_token_id=2)
PROMPT = "a red fox in the snow, oil painting"


def write_model(path: Path, side: int) -> dict[str, int]:
    """A folder of full size with random weights; the parameters of each part."""
    transformer = UViTConfig(sample_size=side, downsample=side == 32, upsample=side == 32)
    builders: dict[str, tuple[Callable[[], nn.Module], dict[str, object]]] = {
        layout.TRANSFORMER: (lambda: UViT(transformer), vars(transformer)),
        layout.VQVAE: (
            lambda: VQGAN(VQ, side),
            {**vars(VQ), "lookup_from_codebook": True, "mid_block_add_attention": False},
        ),
        layout.TEXT: (lambda: ClipText(TEXT), vars(TEXT)),
    }
    count = {}
    for stem, (build, config) in builders.items():
        file = path / f"{stem}.fp16.safetensors"
        file.parent.mkdir(parents=True)
        (file.parent / "config.json").write_text(json.dumps(config))
        with torch.device("meta"):
            state = build().state_dict()
        g = torch.Generator().manual_seed(0)
        # of the size of trained ones, so that nothing overflows or dies out on the way
        tensors = {
            k: (
                torch.randn(v.shape, generator=g) * v[0].numel() ** -0.5
                if v.ndim > 1
                else torch.ones(v.shape)
            ).half()
            for k, v in state.items()
        }
        count[file.parent.name] = sum(v.numel() for v in tensors.values())
        save_file(tensors, file, metadata={"format": "pt"})
        del tensors
    (path / "scheduler").mkdir()
    (path / "scheduler" / "scheduler_config.json").write_text(json.dumps({"mask_token_id": 8255}))
    (path / "tokenizer").mkdir()
    words = {chr(n): n for n in range(33, 127)}
    words |= {f"{c}</w>": n + 256 for c, n in words.items()}
    (path / "tokenizer" / "vocab.json").write_text(json.dumps({**words, START: 49406, END: 49407}))
    (path / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (path / "model_index.json").write_text(json.dumps({"_class_name": "AmusedPipeline"}))
    return count


def measure(path: Path, device: str, runs: int) -> dict[str, object]:
    """Seconds of everything that a user waits for, and the memory of this process."""
    began = time.perf_counter()
    pipe = Pipeline.from_pretrained(path, device)
    loaded, told = time.perf_counter() - began, memory(pipe.device)
    tokens = torch.full((1, pipe.grid[0] * pipe.grid[1]), pipe.vocab_size)
    condition = pipe.condition(PROMPT)
    ids = torch.zeros(pipe.grid, dtype=torch.long).numpy()

    def every_step() -> None:
        for record in pipe.stream(PROMPT):
            pipe.decode(record.tokens.reshape(pipe.grid))

    def guided_pass() -> None:
        with torch.inference_mode():
            pipe.forward.hidden(tokens, condition, 9.0)
        if pipe.device.type == "cuda":
            torch.cuda.synchronize()

    work: dict[str, Callable[[], object]] = {
        "prompt": lambda: pipe.condition(PROMPT),
        "guided pass": guided_pass,
        "decode": lambda: pipe.decode(ids),
        "12 steps, decoded once": lambda: pipe.generate(PROMPT, seed=1).image,
        "12 steps, every step decoded": every_step,
    }
    seconds = {}
    for name, run in work.items():
        run()
        taken, used = [], []
        for _ in range(runs):
            began, busy = time.perf_counter(), time.process_time()
            run()
            taken.append(time.perf_counter() - began)
            used.append(time.process_time() - busy)
        # processor time too, of all threads: on a machine that others use it says more than the clock
        seconds[name] = {"median": round(statistics.median(taken), 3), "cpu": round(min(used), 3)}
    began = time.perf_counter()
    pipe.facts.fingerprint  # noqa: B018  the first who asks pays
    return {
        "dtype": str(next(cast(Any, pipe.backbone).model.parameters()).dtype).removeprefix("torch."),
        "load_s": round(loaded, 2),
        "seconds": seconds,
        "fingerprint_s": round(time.perf_counter() - began, 2),
        "memory_gb": {"after load": told, "peak": memory(pipe.device)},
    }


def memory(device: torch.device) -> float:
    """Most memory in use so far, GB: the GPU's own, or this process's."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated() / 1e9, 2)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)


def main(argv: list[str] | None = None) -> None:
    args = ask(Amused, __doc__, argv)
    device = args.device or str(default())
    if args.opened:
        print(json.dumps(measure(args.opened, device, args.runs)))
        return
    out = out_folder(args.out)
    with tempfile.TemporaryDirectory() as aside:
        count = write_model(Path(aside) / "model", args.side)
        command = [sys.executable, "-m", "trainer.bench.families.amused", "--opened", f"{aside}/model"]
        command += ["--device", device, "--runs", str(args.runs)]
        busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if run.returncode:
            raise RuntimeError("the measured process ended early; what it said stands above")
    row = {"name": SIDES[args.side], "parameters": count, **json.loads(run.stdout)}
    path = out / f"amused_{device}.json"
    rows = json.loads(path.read_text())["rows"] if path.is_file() else []
    # each row with its own surroundings: the sizes may be measured on different days
    row["environment"] = environment(torch.device(device))
    row["others_running"] = None if busy is None else round(busy, 1)
    rows = [*(r for r in rows if r["name"] != row["name"]), row]
    path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    print(json.dumps(row, indent=1))
    print("wrote", path)


if __name__ == "__main__":
    run_command(main)
