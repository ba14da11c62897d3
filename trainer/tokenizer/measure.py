"""How good an image tokenizer is: PSNR on unseen scenes, and whether tokens mean the same thing everywhere.

    python -m trainer tokenizer measure [--model assets/model] [--out assets/benchmarks/image_tokenizer.json]
    python -m trainer tokenizer measure --model OLD NEW --photos runs/photos.safetensors --sheet photos.png

With several models, `tokens_as_first` is the share of tokens that equal the first model's: 1.0 means that weights
trained on the first one's tokens may be used with it.
Token consistency decides what a small model can learn (a token that changes with its surroundings must be learnt
once per surrounding), so it is reported beside PSNR:
  place       tokens of a sprite's cells kept when it stands at another lattice place on the same background
  background  tokens of fully covered cells kept when the background changes
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.pipeline import SHIPPED
from trainer.codec import open_codec
from trainer.command import out_file, out_picture, run_command, to_path
from trainer.record import environment
from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import BACKGROUNDS, PATCH
from trainer.scenes.drawing.render import SpriteBank, render
from trainer.scenes.generator import SLOTS, VARIANTS, SceneBatch
from trainer.scenes.source import SceneDataConfig, scene_batches
from trainer.tokenizer.fidelity import fidelity, round_trip, save_sheet
from trainer.tokenizer.photos import load_pictures

PLAIN = [i for i, b in enumerate(BACKGROUNDS) if not b.scene]


def scenes(atlas: Atlas, bank: SpriteBank, n: int) -> torch.Tensor:
    """n scenes of a seed that training never draws, uint8 [n, 128, 128, 3]."""
    stream = scene_batches(
        atlas, SceneDataConfig(bank.n_objects, tuple(bank.styles), batch_size=64, seed=10_007)
    )
    return torch.cat([render(next(stream)[0], bank) for _ in range(n // 64)])


def one_sprite(rows: np.ndarray, ground: np.ndarray, size: int, xy: tuple[int, int]) -> SceneBatch:
    """Scenes of one sprite each, bank rows and backgrounds [n], all of one size at one place."""
    n = len(rows)
    sprite = np.full((n, SLOTS), -1, np.int64)
    sprite[:, 0] = rows
    sizes, places = np.zeros_like(sprite), np.zeros((n, SLOTS, 2), np.int64)
    sizes[:, 0], places[:, 0] = size, xy
    return SceneBatch(ground, sprite, sizes, places, [""] * n)


def consistency(codec: ImageTokenizer, bank: SpriteBank, n: int, seed: int = 3) -> dict:
    """Shares of tokens kept at another place and under another background, over `n` random sprites a size."""
    rng = np.random.default_rng(seed)
    kept = {"place": [0, 0], "background": [0, 0]}
    for size in (96, 72, 56):
        drawn = np.flatnonzero(bank.drawn[..., 3].flatten(1).any(1).numpy())
        rows = rng.choice(drawn, n) * VARIANTS
        a, b = rng.choice(PLAIN, (2, n))
        b = np.where(a == b, PLAIN[0] + (a == PLAIN[0]), b)
        (x0, y0), (x1, y1) = (8, 8), (128 - size, 16)
        cells = size // PATCH
        here = codec.encode(render(one_sprite(rows, a, size, (x0, y0)), bank))
        there = codec.encode(render(one_sprite(rows, a, size, (x1, y1)), bank))
        other = codec.encode(render(one_sprite(rows, b, size, (x0, y0)), bank))

        def window(ids: torch.Tensor, x: int, y: int, cells: int = cells) -> torch.Tensor:
            return ids[:, y // PATCH : y // PATCH + cells, x // PATCH : x // PATCH + cells]

        alpha = bank.sprites[size][torch.from_numpy(rows)][..., 3]  # [n, s, s]
        covered = alpha.view(n, cells, PATCH, cells, PATCH).amin((2, 4)) == 255
        same_place = window(here, x0, y0) == window(there, x1, y1)
        same_ground = (window(here, x0, y0) == window(other, x0, y0))[covered]
        kept["place"][0] += int(same_place.sum())
        kept["place"][1] += same_place.numel()
        kept["background"][0] += int(same_ground.sum())
        kept["background"][1] += same_ground.numel()
    return {f"kept_{k}": round(a / b, 5) for k, (a, b) in kept.items()} | {
        f"cells_{k}": b for k, (_, b) in kept.items()
    }


def decode_ms(codec: ImageTokenizer, runs: int = 20) -> float:
    """Median milliseconds to decode one picture."""
    ids = torch.randint(0, codec.vocab_size, (1, codec.config.grid, codec.config.grid))
    times = []
    for _ in range(runs + 3):
        began = time.perf_counter()
        codec.decode(ids)
        times.append(time.perf_counter() - began)
    return round(float(np.median(times[3:])) * 1000, 1)


def report(folder: Path, n: int = 512, photos: torch.Tensor | None = None) -> dict:
    """All figures of one tokenizer; photos: uint8 [B, 128, 128, 3] that it was not trained on."""
    codec, atlas = open_codec(folder), Atlas.load()
    bank = SpriteBank(atlas)
    return {
        "levels": list(codec.config.levels),
        "vocab_size": codec.vocab_size,
        "bits_per_pixel": round(float(np.log2(codec.vocab_size)) / codec.config.patch**2, 3),
        "objects": bank.n_objects,
        "styles": len(bank.styles),
        **fidelity(codec, scenes(atlas, bank, n)),
        **consistency(codec, bank, 200),
        **({} if photos is None else {"photos": fidelity(codec, photos)}),
        "decode_ms": decode_ms(codec),
    }


def tokens_as_first(folders: list[Path], images: torch.Tensor) -> list[float]:
    """For every tokenizer the share of tokens of `images` that equal the first one's."""
    ids = [round_trip(open_codec(folder), images)[1] for folder in folders]
    return [round(float((i == ids[0]).float().mean()), 6) if i.shape == ids[0].shape else 0.0 for i in ids]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=to_path, nargs="+", default=[SHIPPED], help="model folders")
    parser.add_argument("--out", type=to_path, default=None, help="write the record here")
    parser.add_argument(
        "--photos", type=to_path, default=None, help="packed photographs (python -m trainer tokenizer photos)"
    )
    parser.add_argument(
        "--sheet", type=to_path, default=None, help="picture: each photograph, then every model's"
    )
    args = parser.parse_args()
    out_file(args.out)
    out_picture(args.sheet)
    photos = load_pictures(args.photos, "held_out") if args.photos else None
    rows = [report(folder, photos=photos) for folder in args.model]
    if len(rows) > 1:
        atlas = Atlas.load()
        everything = scenes(atlas, SpriteBank(atlas), 512)
        everything = everything if photos is None else torch.cat([everything, photos])
        for row, share in zip(rows, tokens_as_first(args.model, everything), strict=True):
            row["tokens_as_first"] = share
    if args.sheet and photos is not None:
        shown = [round_trip(open_codec(folder), photos)[0] for folder in args.model]
        save_sheet(args.sheet, [photos, *shown], columns=14)
    for row in rows:
        print(row)
    if args.out:
        record = {"environment": environment(torch.device("cpu")), "tokenizers": rows}
        args.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main)
