"""Train EmojiEval's judge from scratch.

    python -m trainer judge --out runs/verifier --minutes 2.3
    python -m trainer judge --world world_256 --atlas ATLAS --minutes 15 --out runs/judge_256
    torchrun --nproc-per-node 4 -m trainer judge --minutes 2 --out runs/verifier                    several GPUs

Scenes are drawn on the machine that trains. Writes verifier.safetensors and card.json (budget, accuracy, thresholds,
the share of near misses refused, and the SHA-256 of the weights, which is to be recorded before any model is scored).
`--minutes` is the whole run, from start to files. Checkpoints, and weights that can be used, are written on the way;
the same command goes on where a run was cut. Ctrl-C or a termination signal saves first; a second one leaves at once.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from trainer.command import any_seed, number, out_folder, run_command, to_path, whole
from trainer.engine.parallel import Parallel, open_device
from trainer.engine.run import leave_on_signals
from trainer.judge.check import measure
from trainer.judge.detector import Verifier
from trainer.judge.loop import JudgeData, JudgeSettings, JudgeTrainer
from trainer.record import environment
from trainer.scenes.source import SceneDataConfig
from trainer.scenes.spec import EMOJI_128, SPECS, scene_spec

# what is said after Ctrl-C
TOLD = {"stopped": "stopped at once; the same command goes on from the last checkpoint"}


def train(args: argparse.Namespace, began: float) -> None:
    out_folder(args.out)
    parallel = Parallel(open_device(args.device))
    # read before the training, so that nothing is lost by it; a copy of the code may come without git
    where = environment(parallel.device, None if shutil.which("git") else "unknown")
    args.steps = max(0, args.steps)
    names = JudgeSettings.__dataclass_fields__
    settings = JudgeSettings(**{k: v for k, v in vars(args).items() if k in names})
    atlas = SceneDataConfig(spec=args.world, atlas=args.atlas).load_atlas()
    data = JudgeData.of(atlas, scene_spec(args.world), args.objects, parallel.device)
    trainer = JudgeTrainer(data, settings, args.out, parallel, where, began)
    trainer.resume()
    say, parameters = trainer.reporter.say, sum(p.numel() for p in trainer.model.parameters()) / 1e6
    say(f"ready after {time.time() - began:.1f} s; {parameters:.2f} M parameters, {len(data.names)} objects")
    leave_on_signals(trainer)
    trainer.run()
    if trainer.stop:
        say(f"stopped at step {trainer.step}: the same command goes on from there")
    elif parallel.main:
        # measured as it will be used: with the weights of the file
        judge = Verifier.load(args.out, parallel.device)
        card = trainer.export(measure(judge, data, args.check))
        print({k: v for k, v in card.items() if k not in ("objects", "log", "styles")}, flush=True)
    parallel.wait()
    parallel.close()


def main() -> None:
    began = time.time()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=to_path, default=Path("runs/verifier"))
    parser.add_argument(
        "--world", choices=sorted(SPECS), default=EMOJI_128.name, help="which scenes it knows"
    )
    parser.add_argument(
        "--atlas", type=to_path, default=None, help="folder of the sprites of a --world not shipped"
    )
    parser.add_argument("--minutes", type=number(above=True), default=2.3, help="of the whole run")
    parser.add_argument(
        "--steps", type=whole(-1), default=-1, help="train so many steps instead of --minutes (-1: by time)"
    )
    parser.add_argument("--batch", type=whole(1, 1 << 20), default=512)
    parser.add_argument("--lr", type=number(), default=2e-3)
    parser.add_argument("--objects", type=whole(2), default=None, help="the first N objects of the atlas")
    parser.add_argument("--check", type=whole(1), default=2048, help="pictures for thresholds and accuracy")
    parser.add_argument("--seed", type=any_seed, default=0)
    parser.add_argument("--device", default=None)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--workers", type=whole(0, 1024), default=0, help="processes that draw scenes")
    parser.add_argument(
        "--on-nan", choices=["stop", "skip"], default="stop", help="a loss that is not finite"
    )
    parser.add_argument("--log-every", type=whole(1), default=100)
    parser.add_argument("--save-every", type=whole(1), default=500, help="steps between checkpoints")
    train(parser.parse_args(), began)


if __name__ == "__main__":
    run_command(main, **TOLD)
