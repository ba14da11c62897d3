"""How good an image tokenizer is: PSNR on unseen scenes, and whether tokens mean the same thing everywhere.

    python -m trainer tokenizer measure [--model assets/model] [--out assets/benchmarks/image_tokenizer.json]
    python -m trainer tokenizer measure --model OLD NEW --photos runs/photos.safetensors --sheet photos.png
    python -m trainer tokenizer measure --model runs/world_codec --world world_256 --photos PICTURES

Scenes are those of --world, whose pictures must be as large as the tokenizer's; where things can lie anywhere, `free`
are scenes in which all do. Photographs are a packed file of that size, or a folder, of which the part is taken that
training leaves out.
With several models, `tokens_as_first` is the share of tokens that equal the first model's: 1.0 means that weights
trained on the first one's tokens may be used with it.
Token consistency decides what a small model can learn (a token that changes with its surroundings must be learnt
once per surrounding), so it is reported beside PSNR:
  place       tokens of a sprite's cells kept when it stands at another lattice place on the same background (in worlds
              whose grounds are nowhere alike: of its fully covered cells)
  background  tokens of fully covered cells kept when the background changes
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path

import numpy as np
import torch

from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from trainer.codec import open_codec
from trainer.command import ask, out_file, out_picture, run_command
from trainer.record import environment
from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import BACKGROUNDS, PATCH
from trainer.scenes.drawing.bank import FreeBank
from trainer.scenes.drawing.free_render import draw
from trainer.scenes.drawing.render import SpriteBank, render
from trainer.scenes.generator import SLOTS, VARIANTS, SceneGenerator
from trainer.scenes.scene import SceneBatch
from trainer.scenes.source import SceneDataConfig, picture, scene_batches
from trainer.scenes.spec import EMOJI_128, SPECS, SceneSpec, scene_spec
from trainer.settings.tokenizer import Measure
from trainer.tokenizer.data import UNSEEN_SEED, held_out_pictures
from trainer.tokenizer.fidelity import fidelity, round_trip, save_sheet

PLAIN = [i for i, b in enumerate(BACKGROUNDS) if not b.scene]


def scenes(atlas: Atlas, bank: SpriteBank | FreeBank, n: int, free: bool = False) -> torch.Tensor:
    """About n scenes of a seed that training never draws, uint8 [n, H, H, 3]; free: with all things anywhere."""
    if isinstance(bank, SpriteBank):
        stream = scene_batches(
            atlas, SceneDataConfig(bank.n_objects, tuple(bank.styles), batch_size=64, seed=UNSEEN_SEED)
        )
        return torch.cat([render(next(stream)[0], bank) for _ in range(max(1, n // 64))])
    spec = dataclasses.replace(bank.spec, snapped=0.0) if free else bank.spec
    drawn = SceneGenerator(atlas, n_objects=bank.n_objects, styles=bank.styles, seed=UNSEEN_SEED, spec=spec)
    sizes = [min(64, n - k) for k in range(0, n, 64)]
    return torch.cat([picture(drawn.batch(size), bank).cpu() for size in sizes])


def one_sprite(rows: np.ndarray, ground: np.ndarray, size: int, xy: tuple[int, int]) -> SceneBatch:
    """Scenes of one sprite each, bank rows and backgrounds [n], all of one size at one place."""
    n = len(rows)
    sprite = np.full((n, SLOTS), -1, np.int64)
    sprite[:, 0] = rows
    sizes, places = np.zeros_like(sprite), np.zeros((n, SLOTS, 2), np.int64)
    sizes[:, 0], places[:, 0] = size, xy
    return SceneBatch(ground, sprite, sizes, places, [""] * n)


def free_consistency(codec: ImageTokenizer, bank: FreeBank, n: int, seed: int = 3) -> dict:
    """`consistency` where grounds change from pixel to pixel: of cells that a sprite covers, alike wherever it is."""
    spec, patch, rng = bank.spec, codec.config.patch, np.random.default_rng(seed)
    # places that begin a cell of the tokenizer and one of the world's lattice
    both = math.lcm(spec.cell, patch)
    things = [
        (i * len(bank.styles) + k) * VARIANTS
        for i in range(bank.n_objects)
        for k, style in enumerate(bank.styles)
        if bank.atlas.has(i, style)
    ]
    kept = {"place": [0, 0], "background": [0, 0]}
    for size in spec.sizes[::2]:
        rows = rng.choice(things, n)
        a, b = rng.integers(0, len(spec.grounds), (2, n))
        b = np.where(a == b, (a + 1) % len(spec.grounds), b)
        cells, far = size // patch, (spec.image - size) // patch * patch

        def seen(
            ground: np.ndarray,
            x: int,
            y: int,
            rows: np.ndarray = rows,
            size: int = size,
            cells: int = cells,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            """Tokens [n, cells, cells] and pixels of the cells where the sprite stands."""
            whole = draw(one_sprite(rows, ground, size, (x, y)), bank).cpu()
            tokens = codec.encode(whole)[:, y // patch :, x // patch :][:, :cells, :cells]
            side = cells * patch  # a sprite's edge may reach into cells that it does not fill
            pixels = whole[:, y : y + side, x : x + side].reshape(len(rows), cells, patch, cells, patch, 3)
            return tokens, pixels

        here, pixels = seen(a, 0, 0)
        for name, (other, again) in {
            "place": seen(a, far, far // both * both),
            "background": seen(b, 0, 0),
        }.items():
            covered = (pixels == again).all(5).all(4).all(2)
            kept[name][0] += int((here == other)[covered].sum())
            kept[name][1] += int(covered.sum())
    return {f"kept_{k}": round(a / max(1, b), 5) for k, (a, b) in kept.items()} | {
        f"cells_{k}": b for k, (_, b) in kept.items()
    }


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


def report(
    folder: Path,
    n: int = 512,
    photos: torch.Tensor | None = None,
    spec: SceneSpec = EMOJI_128,
    atlas: Atlas | None = None,
) -> dict:
    """All figures of one tokenizer; photos: uint8 [B, H, H, 3] that it was not trained on.

    ValueError where its pictures are not as large as the world's.
    """
    codec, atlas = open_codec(folder), Atlas.load() if atlas is None else atlas
    if codec.config.image_size != spec.image:
        fitting = [f"--world {s.name}" for s in SPECS.values() if s.image == codec.config.image_size]
        raise ValueError(
            f"{folder} is for pictures of {codec.config.image_size} pixels a side, and scenes of {spec.name} have "
            f"{spec.image}" + (f": try {' or '.join(fitting)}" if fitting else "")
        )
    bank = SpriteBank(atlas) if spec is EMOJI_128 else FreeBank(atlas, spec)
    if isinstance(bank, FreeBank):
        told = {
            "world": spec.name,
            **fidelity(codec, scenes(atlas, bank, n)),
            "free": fidelity(codec, scenes(atlas, bank, n, free=True)),
            **free_consistency(codec, bank, max(2, n // 8)),
        }
    else:
        told = {**fidelity(codec, scenes(atlas, bank, n)), **consistency(codec, bank, 200)}
    return {
        "levels": list(codec.config.levels),
        "vocab_size": codec.vocab_size,
        "bits_per_pixel": round(float(np.log2(codec.vocab_size)) / codec.config.patch**2, 3),
        "objects": bank.n_objects,
        "styles": len(bank.styles),
        **told,
        **({} if photos is None else {"photos": fidelity(codec, photos)}),
        "decode_ms": decode_ms(codec),
    }


def tokens_as_first(folders: list[Path], images: torch.Tensor) -> list[float]:
    """For every tokenizer the share of tokens of `images` that equal the first one's."""
    ids = [round_trip(open_codec(folder), images)[1] for folder in folders]
    return [round(float((i == ids[0]).float().mean()), 6) if i.shape == ids[0].shape else 0.0 for i in ids]


def main() -> None:
    args = ask(Measure, __doc__)
    out_file(args.out)
    out_picture(args.sheet)
    spec = scene_spec(args.world)
    atlas = SceneDataConfig(spec=spec.name, atlas=args.sprites).load_atlas()
    photos = held_out_pictures(args.photos, spec.image) if args.photos else None
    rows = [report(folder, args.scenes, photos, spec, atlas) for folder in args.model]
    if len(rows) > 1:
        bank = SpriteBank(atlas) if spec is EMOJI_128 else FreeBank(atlas, spec)
        everything = scenes(atlas, bank, args.scenes)
        everything = everything if photos is None else torch.cat([everything, photos])
        for row, share in zip(rows, tokens_as_first(list(args.model), everything), strict=True):
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
