"""Train the image tokenizer on scenes, on pictures of your own, or on both.

    python -m trainer tokenizer --minutes 3 --out runs/tokenizer
    python -m trainer tokenizer --world world_256 --minutes 3 --out runs/world_codec
    python -m trainer tokenizer --world world_256 --patch 16 --codebook 131072 --out runs/learned_codec
    python -m trainer tokenizer --images my_pictures --images-share 1 --minutes 60 --out runs/tokenizer
    python -m trainer tokenizer --init assets/model/image_tokenizer.safetensors --freeze-encoder \\
        --images runs/photos.safetensors --images-share 0.4 --minutes 2 --lr 1e-3 --out runs/photos_tokenizer
    torchrun --nproc-per-node 4 -m trainer tokenizer --minutes 3 --out runs/tokenizer          several GPUs

The same command goes on where a run was cut: checkpoints are written whole or not at all, and a resumed run equals
an unbroken one. `--out` is a folder that the commands train and tokens take as `--codec`;
tokenizer.json records PSNR, SSIM and the use of the codebook on unseen pictures, and unseen-*.png shows them with their
reconstructions. `--freeze-encoder` trains the decoder only: no token of any picture changes, so that weights
trained on the tokens stay valid. Ctrl-C or a termination signal saves first; a second one leaves at once.
"""

from __future__ import annotations

from trainer.command import ask, run_command
from trainer.engine.parallel import Parallel, open_device
from trainer.engine.run import leave_on_signals
from trainer.scenes.spec import scene_spec
from trainer.settings.tokenizer import TokenizerCommand
from trainer.tokenizer.data import TokenizerData
from trainer.tokenizer.loop import TokenizerTrainer

# what is said after Ctrl-C
TOLD = {"stopped": "stopped at once; the same command goes on from the last checkpoint"}


def build(argv: list[str] | None = None) -> TokenizerTrainer:
    """The run that a command line asks for, gone on with where it was cut."""
    asked = ask(TokenizerCommand, __doc__, argv)
    parallel = Parallel(open_device(asked.device))
    config = asked.config(scene_spec(asked.world).image)
    data = TokenizerData(
        asked.images,
        asked.images_share,
        asked.batch,
        config.image_size,
        asked.seed,
        asked.workers,
        asked.objects,
        parallel.device,
        asked.world,
        asked.sprites,
    )
    trainer = TokenizerTrainer(config, data, asked, asked.out, parallel)
    trainer.resume()
    return trainer


def main() -> None:
    trainer = build()
    leave_on_signals(trainer)
    trainer.run()
    trainer.parallel.close()


if __name__ == "__main__":
    run_command(main, **TOLD)
