"""Training on 1, 2, 4, ... devices of one machine: a table of how the speed grows.

    python -m trainer bench scaling                                         every GPU of the machine
    python -m trainer bench scaling --processes 1 2 --kinds fsdp            some of it
    python -m trainer bench scaling --device cpu --tiny --processes 1 2     does it run at all: gloo on a CPU

Every count of processes is started as `accelerate launch` starts a training run, with the same batch on each device
(weak scaling) and whole steps of the loop: "ddp" copies the model, "fsdp" shards it. Data are random tokens in
memory. The model is that of `bench train` (300 M parameters on a GPU); --recipe paper_1024 measures blocks
of that recipe's shape, as many as --depth says. Writes scaling_<device>.json with samples/s, efficiency (speed of
one device among n, against one alone), memory and the share of the GPU's peak.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from mdm_core.families.chisel.text import TextTokenizer
from trainer import record
from trainer.bench.train import make_trainer, peak_of, step
from trainer.command import ask
from trainer.engine.plan import work_per_sample
from trainer.recipes.measured import RandomTokens, cpu_recipe, gpu_recipe
from trainer.recipes.recipe import Recipe, load_recipe
from trainer.settings.bench import Scaling

WORKER = "CHISEL_SCALING"  # in the environment of a worker: what it shall measure, and where to write


def recipe_of(asked: dict[str, Any]) -> Recipe:
    """The run that is measured: random tokens, and nothing said or written on the way."""
    batch = asked["batch"]
    if asked["recipe"]:
        recipe = load_recipe(asked["recipe"], [])
        model = dataclasses.replace(recipe.model, depth=asked["depth"], text_vocab_size=512)
        data = RandomTokens(
            batch, vocab_size=model.vocab_size, length=model.length, text_length=model.text_length
        )
        recipe = dataclasses.replace(
            recipe,
            model=model,
            data=data,
            validate_every=10**9,
            minutes=0,
            checkpointing=asked.get("checkpointing", recipe.checkpointing),
        )
    else:
        recipe = gpu_recipe(batch) if asked["device"] == "cuda" else cpu_recipe(batch)
    if asked["tiny"]:
        model = dataclasses.replace(
            recipe.model,
            vocab_size=256,
            code_levels=(4, 4, 4, 4),
            grid=4,
            text_vocab_size=512,
            text_length=8,
            width=32,
            depth=2,
            heads=2,
            kv_heads=2,
            ffn=32,
            token_width=32,
            token_heads=2,
            token_ffn=32,
        )
        data = RandomTokens(batch, vocab_size=256, length=16, text_length=8)
        recipe = dataclasses.replace(recipe, model=model, data=data, precision="fp32", compile=False)
    return dataclasses.replace(recipe, parallel=asked["kind"])


def measure(asked: dict[str, Any]) -> None:
    """In each process: warm up, time whole steps, and let the first process write what came out."""
    device = torch.device(asked["device"])
    recipe = recipe_of(asked)
    with tempfile.TemporaryDirectory() as folder:
        words = Path(folder) / "run" / "text.json"  # in every process's own folder, alike
        words.parent.mkdir()
        m = recipe.model
        TextTokenizer.train(recipe.data.captions(8), m.text_vocab_size, m.text_length).save(words)
        trainer = make_trainer(recipe, device if device.type == "cpu" else None, Path(folder))
        device, p = trainer.device, trainer.parallel
        trainer.set_learning_rate(0.5)
        # a draft's kernels are compiled when the first is drawn, and drafts come every few steps: measure whole rounds
        drafts = round(1 / recipe.self_flip_steps) if recipe.self_flip_steps else 1
        each = drafts * max(1, round(5 / drafts))
        for _ in range(max(3, drafts)):
            step(trainer)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        steps, seconds, going = 0, 0.0, 1.0
        p.wait()
        began = time.perf_counter()
        while going:
            for _ in range(each):
                step(trainer)  # ends with the loss in the host's memory
            steps, seconds = steps + each, time.perf_counter() - began
            (going,) = p.agree([float(seconds < asked["seconds"])])
        rate = recipe.data.batch_size * p.world * steps / seconds
        memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
        memories = p.gather(memory)
        if p.main:
            work, peak = work_per_sample(recipe.model).total, peak_of(device)
            row = {
                "processes": p.world,
                "kind": asked["kind"] if p.world > 1 else "alone",
                "steps": steps,
                "batch": recipe.data.batch_size,
                "parameters": sum(x.numel() for x in trainer.model.parameters()),
                "samples_per_second": rate,
                "tokens_per_second": rate * recipe.model.length,
                "peak_mib": None if memory is None else max(memories),
                "mfu": work * rate / p.world / peak if peak else None,
            }
            Path(asked["write"]).write_text(json.dumps(row))
    p.close()


def launch(asked: dict[str, Any], processes: int) -> dict[str, Any]:
    """One row, from processes of their own; RuntimeError with what they said last."""
    with tempfile.TemporaryDirectory() as folder:
        asked = {**asked, "write": str(Path(folder) / "row.json")}
        command = [sys.executable]
        environment = {**os.environ, WORKER: json.dumps(asked)}
        if asked["device"] == "cpu":
            threads = max(1, (os.cpu_count() or 1) // processes)
            environment |= {"OMP_NUM_THREADS": str(threads), "ACCELERATE_USE_CPU": "true"}
        # what `accelerate launch --multi_gpu` calls; by itself it starts one process on a CPU
        if processes > 1:
            command += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        command += ["-m", "trainer", "bench", "scaling"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
            raise RuntimeError(f"{processes} processes, {asked['kind']}: it failed\n{last}")
        return json.loads(Path(asked["write"]).read_text())


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| devices | how | samples/s | tokens/s | efficiency | memory of a device | MFU |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        if "failed" in r:
            lines.append(
                f"| {r['processes']} | {r['kind']} | failed: {r['failed'].splitlines()[-1][:80]} | | | | |"
            )
            continue
        memory = f"{r['peak_mib'] / 1024:.1f} GiB" if r["peak_mib"] else "-"
        efficiency = f"{r['efficiency']:.0%}" if r["efficiency"] else "-"
        mfu = f"{r['mfu']:.0%}" if r["mfu"] else "-"
        lines.append(
            f"| {r['processes']} | {r['kind']} | {r['samples_per_second']:,.1f} | {r['tokens_per_second']:,.0f} "
            f"| {efficiency} | {memory} | {mfu} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> Path | None:
    if WORKER in os.environ:  # a process that `main` started below, whichever way it came here
        measure(json.loads(os.environ[WORKER]))
        return None
    gpus = torch.cuda.device_count()
    args = ask(Scaling, __doc__, argv)
    device = args.device or ("cuda" if gpus else "cpu")
    counts = args.processes or [n for n in (1, 2, 4, 8, 16) if n <= max(gpus, 1)]
    if device == "cuda" and max(counts) > gpus:
        raise ValueError(f"--processes {max(counts)} needs as many GPUs, and this machine has {gpus}")
    batch = args.batch or (2 if args.tiny else 4 if args.recipe else 256 if device == "cuda" else 4)
    rows: list[dict[str, Any]] = []
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"scaling_{device}.json"
    for n in sorted(set(counts)):
        for kind in args.kinds[:1] if n == 1 else args.kinds:
            asked = {
                "device": device,
                "kind": kind,
                "recipe": args.recipe,
                "depth": args.depth,
                "batch": batch,
                "seconds": args.seconds,
                "tiny": args.tiny,
            }
            if args.no_checkpointing:
                asked["checkpointing"] = False
            try:
                row = launch(asked, n)
                alone = next((r["samples_per_second"] for r in rows if r["processes"] == 1), None)
                alone = row["samples_per_second"] if n == 1 else alone
                row["efficiency"] = row["samples_per_second"] / n / alone if alone else None
            except RuntimeError as error:
                print(error, flush=True)
                row = {"processes": n, "kind": kind, "failed": str(error)}
            rows.append(row)
            print(table(rows).splitlines()[-1], flush=True)
            environment = record.environment(torch.device(device))
            what = args.recipe or ("tiny" if args.tiny else "300 M" if device == "cuda" else "small")
            kept = {"environment": environment, "model": what, "rows": rows}
            path.write_text(json.dumps(kept, indent=1) + "\n")  # kept as it comes
    print(table(rows))
    print("wrote", path)
    return path


if __name__ == "__main__":
    main()
