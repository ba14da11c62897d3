"""Train the image tokenizer on scenes, on pictures of your own, or on both.

    python -m trainer tokenizer --minutes 3 --out runs/tokenizer
    python -m trainer tokenizer --world world_256 --atlas ATLAS --minutes 3 --out runs/world_codec
    python -m trainer tokenizer --world world_256 --atlas ATLAS --patch 16 --codebook 131072 --out runs/learned_codec
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

import argparse
from pathlib import Path

from mdm_core.families.chisel.config import ImageTokenizerConfig
from trainer.command import any_seed, number, run_command, to_path, whole
from trainer.engine.parallel import Parallel, open_device
from trainer.engine.run import leave_on_signals
from trainer.scenes.spec import EMOJI_128, SPECS, scene_spec
from trainer.tokenizer.data import TokenizerData
from trainer.tokenizer.loop import TokenizerSettings, TokenizerTrainer

# what is said after Ctrl-C
TOLD = {"stopped": "stopped at once; the same command goes on from the last checkpoint"}
WIDTH = "of its layers (default: %(default)s)"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--out", type=to_path, default=Path("runs/tokenizer"), help="run folder (default: %(default)s)"
    )
    p.add_argument(
        "--levels",
        type=whole(2, 1 << 16),
        nargs="+",
        default=[8, 8, 8, 8, 4],
        help="lattice of the quantiser",
    )
    p.add_argument(
        "--codebook",
        type=whole(0, 1 << 24),
        default=0,
        help="so many learned codes instead of the lattice (default: none)",
    )
    p.add_argument(
        "--code-width",
        type=whole(1, 4096),
        default=ImageTokenizerConfig.code_width,
        help="numbers of a learned code (default: %(default)s)",
    )
    p.add_argument(
        "--image-size", type=whole(8, 8192), default=None, help="pixels a side (default: the world's)"
    )
    p.add_argument(
        "--patch",
        type=whole(1, 1024),
        default=8,
        help="pixels a side that a token stands for (default: %(default)s)",
    )
    p.add_argument(
        "--objects", type=whole(2), default=None, help="scenes of the first N objects of the atlas"
    )
    p.add_argument("--world", choices=sorted(SPECS), default=EMOJI_128.name, help="which scenes are drawn")
    p.add_argument(
        "--atlas", type=to_path, default=None, help="folder of the sprites of a --world not shipped"
    )
    p.add_argument(
        "--encoder-width", type=whole(1, 1 << 16), default=ImageTokenizerConfig.encoder_width, help=WIDTH
    )
    p.add_argument(
        "--decoder-width", type=whole(1, 1 << 16), default=ImageTokenizerConfig.decoder_width, help=WIDTH
    )
    p.add_argument(
        "--decoder-depth", type=whole(0, 1000), default=ImageTokenizerConfig.decoder_depth, help=WIDTH
    )
    p.add_argument("--init", type=to_path, default=None, help="start from these weights (.safetensors)")
    p.add_argument(
        "--images", type=to_path, default=None, help="folder, tar shards, or file of `tokenizer photos`"
    )
    p.add_argument(
        "--images-share", type=float, default=0.4, help="share of a batch that comes from --images"
    )
    p.add_argument("--freeze-encoder", action="store_true", help="train the decoder only: no token changes")
    p.add_argument(
        "--blend", type=float, default=1.0, help="in the end, go so far from --init to the trained weights"
    )
    p.add_argument("--minutes", type=number(), default=20.0, help="training time (default: 20)")
    p.add_argument("--steps", type=whole(), default=0, help="train so many steps instead of --minutes")
    p.add_argument("--batch", type=whole(1, 1 << 20), default=64, help="pictures a step (default: 64)")
    p.add_argument("--lr", type=number(), default=2e-3, help="learning rate (default: 0.002)")
    p.add_argument(
        "--augment", type=number(high=1), default=0.125, help="share of scenes shifted off the lattice"
    )
    p.add_argument("--workers", type=whole(0, 1024), default=0, help="processes that draw or read pictures")
    p.add_argument("--seed", type=any_seed, default=0, help="of scenes, pictures and first weights")
    p.add_argument("--device", default=None, help="cpu, cuda, ... (default: a GPU if there is one)")
    p.add_argument("--compile", action="store_true", help="torch.compile the tokenizer")
    p.add_argument("--on-nan", choices=["stop", "skip"], default="stop", help="a loss that is not finite")
    p.add_argument("--log-every", type=whole(1), default=100, help="steps between lines (default: 100)")
    p.add_argument(
        "--save-every", type=whole(1), default=500, help="steps between checkpoints, figures and sheets"
    )
    p.add_argument(
        "--measure-on", type=whole(1), default=512, help="unseen scenes that figures are measured on"
    )
    return p


def build(argv: list[str] | None = None) -> TokenizerTrainer:
    """The run that a command line asks for, gone on with where it was cut."""
    args = parser().parse_args(argv)
    parallel = Parallel(open_device(args.device))
    size = scene_spec(args.world).image if args.image_size is None else args.image_size
    config = ImageTokenizerConfig(
        size,
        args.patch,
        tuple(args.levels),
        args.encoder_width,
        args.decoder_width,
        args.decoder_depth,
        codebook=args.codebook,
        code_width=args.code_width,
    )
    names = TokenizerSettings.__dataclass_fields__
    settings = TokenizerSettings(**{k: v for k, v in vars(args).items() if k in names})
    data = TokenizerData(
        args.images,
        args.images_share,
        args.batch,
        size,
        args.seed,
        args.workers,
        args.objects,
        parallel.device,
        args.world,
        args.atlas,
    )
    trainer = TokenizerTrainer(config, data, settings, args.out, parallel)
    trainer.resume()
    return trainer


def main() -> None:
    trainer = build()
    leave_on_signals(trainer)
    trainer.run()
    trainer.parallel.close()


if __name__ == "__main__":
    run_command(main, **TOLD)
