"""Train a model, from a laptop to a cluster.

    python -m trainer train folder data.path=my_pictures --out runs/mine      your own captioned pictures
    python -m trainer train emoji_cpu --out runs/small minutes=20             scenes drawn on the fly
    torchrun --nproc-per-node 8 -m trainer train emoji_gpu --out runs/big             several GPUs
    python app.py --model runs/mine/model                                     look at what has been learnt

A recipe is a file in trainer/recipes that opens with its command, cost and result; after its name, field=value sets
any of its fields. trainer/recipes/recipe.py explains them all; often wanted:

    minutes=20             length by the clock; or minutes=0 steps=1000
    data.batch_size=32     pictures a step; accumulate=4 takes as many batches a step without more memory
    lr=1e-3 matrix_lr=0.01 learning rates; lower both if the loss is not a number
    log_every=10 validate_every=200 sheet_every=200       steps between lines, checks and sheets of pictures
    trace_steps=5          where the time of a step goes: a table, and a timeline for ui.perfetto.dev
    model.guided=True      guidance in one pass; with --init and a lower lr, a few minutes tune weights to it
    checkpointing=True compile=True parallel=fsdp         less memory; faster on a GPU; shards on several

`python -m trainer plan` says beforehand what a recipe costs. `--out` holds everything of the run: checkpoints, from
which the same command goes on where it was cut; log.json; sheets of pictures; and `model/`, a folder that
`python app.py --model` opens, rewritten every `export_every` seconds. Ctrl-C or a
termination signal saves a checkpoint first; a second one leaves at once.
"""

from __future__ import annotations

from pathlib import Path

import torch

from mdm_core.families.chisel.transformer import count_parameters
from mdm_core.ops import describe_backend
from mdm_core.pipeline import SHIPPED
from trainer.command import ask, run_command
from trainer.engine.loop import Trainer
from trainer.engine.parallel import open_device
from trainer.engine.run import leave_on_signals
from trainer.recipes.recipe import load_recipe
from trainer.settings.training import Train

# what is said where the GPU's memory is full, and after Ctrl-C
TOLD = {
    "memory": "lower data.batch_size (accumulate makes up for it) or set checkpointing=True",
    "stopped": "stopped at once; the same command goes on from the last checkpoint",
}


def main(argv: list[str] | None = None) -> None:
    args = ask(Train, __doc__, argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = load_recipe(args.recipe, list(args.overrides))
    out = args.out or Path("runs") / args.recipe
    codec = args.codec or args.init or SHIPPED
    trainer = Trainer(recipe, codec, out, open_device(args.device), args.init)
    parameters = count_parameters(trainer.model) / 1e6
    trainer.reporter.say(f"{describe_backend(trainer.device)} | {parameters:.1f} M parameters")
    trainer.resume()
    leave_on_signals(trainer)
    trainer.run(args.stop_after)
    trainer.export(out / "model")
    trainer.reporter.say(f"wrote {out / 'model'}: chisel --model {out / 'model'} opens it")
    trainer.parallel.close()


if __name__ == "__main__":
    run_command(main, **TOLD)
