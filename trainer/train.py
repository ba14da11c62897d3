"""Train a model, from a laptop to a cluster.

    python -m trainer.train emoji_cpu --out runs/emoji
    python -m trainer.train emoji_gpu --out runs/emoji minutes=20 data.batch_size=1024
    python -m trainer.train paper_1024 --plan
    accelerate launch --num_processes 8 -m trainer.train emoji_gpu --out runs/emoji

A recipe is a file in trainer/recipes; after it, field=value sets any of its fields (trainer/recipe.py names them).
`--out` holds everything of the run: checkpoints, from which the same command goes on where it was cut; log.json;
sheets of pictures; and `model/`, a folder that `python app.py --model` opens, rewritten every `export_every`
seconds. Ctrl-C or a termination signal saves a checkpoint first; a second one leaves at once.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
from pathlib import Path

import torch

from mdm_core.model import count_parameters
from mdm_core.ops import describe_backend
from trainer.checkpoint import CheckpointError
from trainer.loop import Trainer
from trainer.recipe import load_recipe


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m trainer.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )  # fmt: skip
    p.add_argument("recipe", help="name of a file in trainer/recipes, e.g. emoji_cpu")
    p.add_argument("overrides", nargs="*", help="field=value, e.g. minutes=20 data.batch_size=256 lr=1e-3")
    p.add_argument(
        "--codec", type=Path, default=None,
        help="model folder whose image tokenizer is used (default: that of --init, else assets/model)",
    )  # fmt: skip
    p.add_argument("--out", type=Path, default=None, help="run folder (default: runs/RECIPE)")
    p.add_argument("--init", type=Path, default=None, help="start from the weights of this model folder")
    p.add_argument(
        "--stop-after", type=float, default=math.inf, help="seconds; the same command goes on later"
    )
    p.add_argument("--device", default=None, help="cpu, cuda, ... (default: a GPU if there is one)")
    p.add_argument("--threads", type=int, default=0, help="CPU threads (0: all)")
    p.add_argument("--plan", action="store_true", help="train nothing: print parameters, memory, speed, days")
    p.add_argument("--gpus", type=int, default=1, help="for --plan: how many")
    return p


def main(argv: list[str] | None = None) -> None:
    args = parser().parse_intermixed_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = load_recipe(args.recipe, args.overrides)
    if args.plan:
        from trainer.plan import plan

        print(plan(recipe, args.gpus))
        return
    out = args.out or Path("runs") / args.recipe
    codec = args.codec or args.init or Path("assets/model")
    trainer = Trainer(recipe, codec, out, torch.device(args.device) if args.device else None, args.init)
    parameters = count_parameters(trainer.model) / 1e6
    trainer.reporter.say(f"{describe_backend(trainer.device)} | {parameters:.1f} M parameters")
    if trainer.resume():
        trainer.reporter.say(f"resumed at step {trainer.step}")

    def leave(*_) -> None:
        if trainer.stop:  # asked twice: at once, without a checkpoint
            raise KeyboardInterrupt
        trainer.stop = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    trainer.run(args.stop_after)
    trainer.export(out / "model")
    trainer.reporter.say(f"wrote {out / 'model'}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, CheckpointError) as error:
        sys.exit(f"error: {error}")
