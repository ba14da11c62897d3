"""Table A: which objective teaches a small model best, under equal budgets?

    python -m trainer evidence ablate --levels 16 16 16 8 4 --steps 681 --minutes 20                       one GPU
    python -m trainer evidence ablate --size cpu --levels 16 16 16 8 4 --steps 500 --arms ce gce8 gce64 --processes 2 \\
        --objects 8 --styles flat --scenes 16000 --batch 32 --rows 0.03 --per-tag 5 --unseen 32   two cores, an hour

Trains the same small model (same initial weights, data order, corruption and steps for a seed) under plain CE, CE
with label smoothing, and CE + GCE at several group sizes; samples EmojiEval prompts from each and scores them with
the frozen verifier. The data are drawn and tokenised once. The same command goes on where it was cut: runs that have
ended stay, the others resume from their checkpoints. `python -m trainer evidence tables` makes the table and the plot.

`--levels` measures at a vocabulary that no codec was trained for: a lattice whose dimensions are whole multiples of
the codec's cuts its cells finer, so that the same encoder and decoder serve, and a group of GCE is one code of theirs.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import time

import torch

from mdm_core.device import usable
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer, count_parameters
from trainer.command import ask, out_folder, run_command
from trainer.evidence.arms import ARMS, TENSORS, Bench
from trainer.files import replacing
from trainer.judge.detector import Verifier
from trainer.record import environment
from trainer.settings.evidence import Ablate

TOLD = {"stopped": "stopped; the same command goes on"}
# what may differ where the same command goes on
FREE = "out minutes processes workers device commit worker start until first_seed".split()
STARTING = 20.0  # seconds until the workers of a GPU run have agreed on their pace


def probe(bench: Bench, data: dict) -> dict:
    """Seconds a step and peak memory of every arm, alone on the machine."""
    out = {}
    for name in bench.args.arms:
        steps = 12 if bench.device.type == "cuda" else 4
        try:
            _, seconds, _ = bench.train(ARMS[name], 0, 1000, data, stop=steps)
        except Exception as error:  # the other arms shall still run; what failed is seen in the output
            print(f"{name} cannot run here and is left out: {error!r}", flush=True)
            continue
        peak = torch.cuda.max_memory_allocated() / 2**20 if bench.device.type == "cuda" else None
        out[name] = {"seconds_per_step": round(seconds, 5), "peak_mib": peak and round(peak)}
        print(name, out[name], flush=True)
    return out


def worker(args: Ablate) -> None:
    """All seeds of one arm, as far as the time goes."""
    assert args.worker is not None
    bench = Bench(args)
    data = bench.load()
    steps = args.steps or agreed_steps(args, bench, data)
    for seed in range(args.first_seed, args.seeds):
        began, path = time.time(), args.out / f"run_{args.worker}_{seed}.json"
        if path.exists():
            continue
        folder = args.out / f"arm_{args.worker}_{seed}"
        model, seconds, curve = bench.train(ARMS[args.worker], seed, steps, data, folder=folder)
        trained = time.time() - began
        row = {
            "arm": args.worker,
            **dataclasses.asdict(ARMS[args.worker]),
            "seed": seed,
            "samples": steps * args.batch,
            "seconds_per_step_shared": round(seconds, 5),
            **curve[-1],
            **bench.measure(model, data),
            "curve": curve,
            "train_seconds": round(trained, 1),
            "seconds": round(time.time() - began, 1),
        }
        with replacing(path) as aside:
            aside.write_text(json.dumps(row) + "\n")
        shutil.rmtree(folder)
        print(json.dumps({k: v for k, v in row.items() if k != "score"}), row["score"]["mean"], flush=True)
        if time.time() + 1.05 * (time.time() - began) > args.until:
            break


def agreed_steps(args: Ablate, bench: Bench, data: dict) -> int:
    """Steps of a run, the same for all arms: all train a little at the same time, and the slowest decides."""
    assert args.worker is not None
    agreed = args.out / "pace_agreed"
    if agreed.exists():
        return int(agreed.read_text())

    def together() -> None:
        (args.out / f"ready_{args.worker}").touch()
        while time.time() < args.until and len(list(args.out.glob("ready_*"))) < len(args.arms):
            time.sleep(0.02)

    stop = 33 if bench.device.type == "cuda" else 5
    _, seconds, _ = bench.train(ARMS[args.worker], 0, 1000, data, stop=stop, gate=together)
    part = args.out / f"pace_{args.worker}.tmp"
    part.write_text(json.dumps(seconds))
    part.rename(part.with_suffix(".json"))  # appears only once it is whole
    while len(paces := list(args.out.glob("pace_*.json"))) < len(args.arms):
        if time.time() > args.until:
            raise RuntimeError("the other runs never started; see their messages")
        time.sleep(0.02)
    steps = steps_for(args, max(json.loads(p.read_text()) for p in paces))
    part.write_text(str(steps))
    part.rename(agreed)  # for those who go on with these runs
    return steps


def steps_for(args: Ablate, seconds_per_step: float) -> int:
    """As many steps as `seeds` runs, one after the other, can have from `start` (all paced) to `until`."""
    each = (args.until - args.start) / args.seeds - args.reserve
    return max(1, min(4000, int(each / seconds_per_step)))


def coordinate(args: Ablate) -> None:
    began = time.time()
    out_folder(args.out)
    usable(args.device)
    until = began + 60 * args.minutes
    asked = {k: str(list(v) if isinstance(v, tuple) else v) for k, v in vars(args).items() if k not in FREE}
    setup = args.out / "setup.json"
    info = json.loads(setup.read_text()) if setup.exists() else {}
    if info.pop("asked", None) == asked and (args.out / TENSORS).exists():
        print("going on with the runs that were cut", flush=True)
    else:
        info = prepare(args, began)
        setup.write_text(json.dumps({**info, "asked": asked}) + "\n")
    alone = info["alone"]
    for old in args.out.glob("ready_*"):
        old.unlink()
    waiting, start = list(alone), time.time() + STARTING
    running: list[subprocess.Popen] = []
    if not args.steps and args.processes < len(waiting):
        raise ValueError(
            "give --steps where not all arms run at once: they agree on a number by running together"
        )
    while waiting or running:
        while waiting and len(running) < args.processes:
            running.append(start_worker(waiting.pop(0), list(alone), start, until))
        running = [p for p in running if p.poll() is None]
        time.sleep(0.2)
    rows = [json.loads(p.read_text()) for p in sorted(args.out.glob("run_*.json"))]
    (args.out / "ablation.json").write_text(json.dumps({**info, "runs": rows}) + "\n")
    if len(rows) < len(alone) * (args.seeds - args.first_seed):
        print("runs are missing: the same command goes on with them", flush=True)
    else:
        (args.out / TENSORS).unlink()
    print(f"{len(rows)} runs in {time.time() - began:.0f} s; {args.out / 'ablation.json'}", flush=True)


def prepare(args: Ablate, began: float) -> dict:
    """Draw the data, measure what every arm costs alone, and clear away what runs of before have left."""
    for old in (args.out / "setup.json", *args.out.glob("pace_*"), *args.out.glob("run_*.json")):
        old.unlink(missing_ok=True)
    for old in args.out.glob("arm_*"):
        shutil.rmtree(old)
    bench = Bench(args)
    bench.prepare()
    print(f"{args.scenes} scenes after {time.time() - began:.0f} s", flush=True)
    data = bench.load()
    info = {
        "environment": environment(bench.device, args.commit),
        "parameters": count_parameters(MaskedDiffusionTransformer(bench.model_config)),
        "vocab_size": bench.model_config.vocab_size,
        "objects": args.objects,
        "styles": args.styles,
        "scenes": args.scenes,
        "batch": args.batch,
        "rows": args.rows,
        "prompts": len(data["lines"]),
        "levels": bench.codec_config.levels,
        "grain": args.grain,
        "unseen": args.unseen,
        "controls": data["controls"],
        "alone": probe(bench, data),
        "verifier_sha256": Verifier.load(args.verifier).card["sha256"],
    }
    print(f"set up after {time.time() - began:.0f} s", flush=True)
    del bench, data
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return info


def start_worker(arm: str, arms: list[str], start: float, until: float) -> subprocess.Popen:
    """This command again, for one arm."""
    more = ["--arms", *arms, "--worker", arm, "--start", str(start), "--until", str(until)]
    return subprocess.Popen([sys.executable, "-m", "trainer", "evidence", "ablate", *sys.argv[1:], *more])


def main() -> None:
    args = ask(Ablate, __doc__)
    (worker if args.worker else coordinate)(args)


if __name__ == "__main__":
    run_command(main, **TOLD)
