"""Pictures for the image tokenizer: scenes of the atlas, pictures of one's own, or a mixture, by batch index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mdm_core.paths import located
from trainer.data.own import OwnDataConfig, PictureSource
from trainer.data.source import Batch
from trainer.scenes.source import SceneDataConfig, SceneSource
from trainer.scenes.spec import EMOJI_128, SPECS, scene_spec
from trainer.tokenizer.photos import cut, load_pictures
from trainer.transfer import onto

UNSEEN_SEED = 10_007  # of the scenes that figures are measured on


@dataclass
class Both:
    """Batch `index` of scenes and of pictures together; either may be None. Runs in worker processes."""

    scenes: SceneSource | None
    pictures: PictureSource | None
    number: int = 0  # the batch from which on the pictures are counted: see `TokenizerData.go_on`
    first: int = 0  # the picture that it begins with
    packed: int = 0  # of a batch that is of packed photographs alone: they are cut on the device
    numbered = True

    def batch(self, index: int) -> Batch:
        drawn = self.scenes.batch(index).scenes if self.scenes else None
        own = None
        if self.pictures:
            own = self.pictures.at(self.first + (index - self.number) * self.pictures.config.batch_size)
        size = len(drawn.background) if drawn else len(own) if own else self.packed
        return Batch(
            torch.zeros(size, 0, dtype=torch.int64),
            images=own.images if own else None,
            scenes=drawn,
            skipped=own.skipped if own else (),
        )


class TokenizerData:
    """What a tokenizer is trained and measured on.

    images: a file made by `python -m trainer tokenizer photos`, a folder or tar shards (see trainer/data/own.py), or
    None; share: of a batch that comes from there, 1.0 for no scenes at all; objects: scenes of the first so many of the
    atlas; world and atlas: which scenes, as `spec` and `atlas` of SceneDataConfig.
    ValueError when there is nothing to read, or scenes have another size.
    """

    def __init__(
        self,
        images: Path | None,
        share: float,
        batch: int,
        size: int,
        seed: int = 0,
        workers: int = 0,
        objects: int | None = None,
        device: torch.device | str = "cpu",
        world: str = EMOJI_128.name,
        atlas: str | None = None,
    ):
        if images is not None and not 0 < share <= 1:  # NaN neither
            raise ValueError(f"the share of pictures must lie above 0 and up to 1, not {share}")
        if images is not None:
            images = located(images)
        if batch < 1:
            raise ValueError(f"a batch must have 1 picture or more, not {batch}")
        self.size, self.seed, self.workers, self.device = size, seed, workers, torch.device(device)
        self.own = 0 if images is None else min(batch, max(1, round(batch * share)))
        self.size_of_batch = batch
        drawn = batch - self.own
        side = scene_spec(world).image
        if drawn and size != side:
            fitting = [f"--world {s.name}" for s in SPECS.values() if s.image == size]
            raise ValueError(
                f"scenes of {world} are {side} pixels a side, not {size}: "
                + (f"{' or '.join(fitting)} draws such, or " if fitting else "for another size ")
                + "train on --images with --images-share 1"
            )
        self.packed: Tensor | None = None
        self.unseen: dict[str, Tensor] = {}  # uint8 [n, S, S, 3] that training never sees
        pictures = scenes = None
        if images is not None and Path(images).suffix == ".safetensors":
            self.unseen["pictures"] = held_out_pictures(images, size)
            self.packed = load_pictures(images).to(self.device)
        elif images is not None:
            config = OwnDataConfig(str(images), size, crop=0.5, flip=True, batch_size=self.own, seed=seed)
            pictures = _pictures(config, "train")
            seen = _pictures(config, "seen")
            self.unseen["pictures"] = torch.from_numpy(_first(seen, 256))
        if drawn:
            chosen = SceneDataConfig(objects, batch_size=drawn, seed=seed, spec=world, atlas=atlas)
            scenes = chosen.open(None)  # the tokenizer reads no captions
            unseen = SceneDataConfig(objects, batch_size=64, seed=UNSEEN_SEED, spec=world, atlas=atlas)
            self._unseen_scenes = SceneSource(scenes.atlas, unseen, None)
        self.source = Both(scenes, pictures, packed=self.own if self.packed is not None else 0)

    def go_on(self, batches: int, pictures: int) -> None:
        """So many batches were drawn so far, and so many pictures of one's own in them: none comes again."""
        self.source.number, self.source.first = batches, pictures

    def measure_on(self, scenes: int) -> dict[str, Tensor]:
        """Pictures never trained on, uint8 [n, S, S, 3] by kind: about `scenes` scenes, and held-out pictures."""
        sets = dict(self.unseen)
        if self.source.scenes:
            some = [self._unseen_scenes.batch(i).scenes for i in range(-(-scenes // 64))]
            drawn = [self.source.scenes.render(s, self.device).cpu() for s in some]
            sets = {"scenes": torch.cat(drawn)[:scenes]} | sets
        return sets

    def pixels(self, batch: Batch, index: int, augmented: float) -> Tensor:
        """Scenes first, own pictures last: uint8 [B, S, S, 3] on the device, the same for the same index.

        augmented: share of the scenes that are shifted off their lattice and recoloured.
        """
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
        parts = []
        if batch.scenes is not None and self.source.scenes is not None:
            parts.append(augment(self.source.scenes.render(batch.scenes, self.device), augmented, draw))
        if self.packed is not None:
            parts.append(cut(self.packed, self.own, self.size, draw))
        elif batch.images is not None:
            parts.append(onto(batch.images, self.device))
        return torch.cat(parts)


def held_out_pictures(images: Path, size: int, most: int = 256) -> Tensor:
    """Pictures that no tokenizer is trained on, uint8 [n, size, size, 3].

    Those that a packed file holds out, or at most `most` of the part of a folder or of tar shards that training leaves
    out. ValueError where packed ones have another size.
    """
    if Path(images).suffix == ".safetensors":
        held = load_pictures(images, "held_out")
        if held.shape[1] != size:
            raise ValueError(
                f"the photographs in {images} are for {held.shape[1]} pixels a side: pack them again with "
                f"--image-size {size}, or give a folder of pictures"
            )
        return held
    return torch.from_numpy(_first(_pictures(OwnDataConfig(str(images), size), "seen"), most))


def _pictures(config: OwnDataConfig, split: str) -> PictureSource:
    source = config.open(None, split)
    if not isinstance(source, PictureSource):
        raise ValueError(
            f"{config.path} holds no pictures to train a tokenizer on: give a folder or tar shards"
        )
    return source


def _first(source: PictureSource, most: int) -> np.ndarray:
    return np.stack([source.sample(i)[0] for i in range(min(most, len(source.rows)))])


def augment(images: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Shift the first `share` of the batch off the lattice and mix its colour channels; uint8 [B, H, W, 3]."""
    n = int(len(images) * share)
    if n == 0:
        return images
    dy, dx = torch.randint(0, images.shape[1], (2,), generator=draw).tolist()
    gain = torch.rand(n, 1, 1, 3, generator=draw) * 0.5 + 0.6
    offset = torch.rand(n, 1, 1, 3, generator=draw) * 40 - 10
    some = images[:n].roll((dy, dx), (1, 2)).float()
    some = (some * gain.to(images.device) + offset.to(images.device)).clamp(0, 255)
    return torch.cat([some.to(torch.uint8), images[n:]])
