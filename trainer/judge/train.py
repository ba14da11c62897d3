"""Train EmojiEval's judge from scratch.

    python -m trainer judge --out runs/verifier --minutes 2.3
    python -m trainer judge --world world_256 --minutes 15 --out runs/judge_256
    torchrun --nproc-per-node 4 -m trainer judge --minutes 2 --out runs/verifier                    several GPUs

Scenes are drawn on the machine that trains. Writes verifier.safetensors and card.json (budget, accuracy, thresholds,
the share of near misses refused, and the SHA-256 of the weights, which is to be recorded before any model is scored).
`--minutes` is the whole run, from start to files. Checkpoints, and weights that can be used, are written on the way;
the same command goes on where a run was cut. Ctrl-C or a termination signal saves first; a second one leaves at once.
"""

from __future__ import annotations

import shutil
import time

from trainer.command import ask, out_folder, run_command
from trainer.engine.parallel import Parallel, open_device
from trainer.engine.run import leave_on_signals
from trainer.judge.check import measure
from trainer.judge.detector import Verifier
from trainer.judge.loop import JudgeData, JudgeTrainer
from trainer.record import environment
from trainer.scenes.source import SceneDataConfig
from trainer.scenes.spec import scene_spec
from trainer.settings.judge import JudgeCommand

# what is said after Ctrl-C
TOLD = {"stopped": "stopped at once; the same command goes on from the last checkpoint"}


def main() -> None:
    began = time.time()
    asked = ask(JudgeCommand, __doc__)
    out_folder(asked.out)
    parallel = Parallel(open_device(asked.device))
    # read before the training, so that nothing is lost by it; a copy of the code may come without git
    where = environment(parallel.device, None if shutil.which("git") else "unknown")
    atlas = SceneDataConfig(spec=asked.world, atlas=asked.sprites).load_atlas()
    data = JudgeData.of(atlas, scene_spec(asked.world), asked.objects, parallel.device)
    trainer = JudgeTrainer(data, asked, asked.out, parallel, where, began)
    trainer.resume()
    say, parameters = trainer.reporter.say, sum(p.numel() for p in trainer.model.parameters()) / 1e6
    say(f"ready after {time.time() - began:.1f} s; {parameters:.2f} M parameters, {len(data.names)} objects")
    leave_on_signals(trainer)
    trainer.run()
    if trainer.stop:
        say(f"stopped at step {trainer.step}: the same command goes on from there")
    elif parallel.main:
        # measured as it will be used: with the weights of the file
        judge = Verifier.load(asked.out, parallel.device)
        card = trainer.export(measure(judge, data, asked.check))
        print({k: v for k, v in card.items() if k not in ("objects", "log", "styles")}, flush=True)
    parallel.wait()
    parallel.close()


if __name__ == "__main__":
    run_command(main, **TOLD)
