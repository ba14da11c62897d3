"""Batches for training: scenes drawn in worker processes, rendered and tokenised on the training device."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.paths import shipped
from trainer import checks
from trainer.data.source import Batch
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.bank import FreeBank
from trainer.scenes.drawing.free_render import draw
from trainer.scenes.drawing.render import SpriteBank, render
from trainer.scenes.generator import SceneGenerator
from trainer.scenes.repaint import regions_of
from trainer.scenes.scene import SceneBatch
from trainer.scenes.spec import EMOJI_128, SPECS, scene_spec
from trainer.scenes.words import words


@dataclass(frozen=True)
class SceneDataConfig:
    """Which scenes are drawn. `n_objects` and `styles` select a part of the atlas (None: all of it);
    objects from index `favour_from` on are drawn twice as often; `reword`: share of training captions in the
    wordings and misspellings of `trainer/scenes/wordings.py`; `spec`: the world, by its name in
    `trainer/scenes/spec.py`; `atlas`: the folder of its sprites (None: the shipped ones)."""

    n_objects: int | None = None
    styles: tuple[str, ...] | None = None
    favour_from: int | None = None
    reword: float = 0.0
    split: str = "train"
    batch_size: int = 64
    workers: int = 0
    seed: int = 0
    spec: str = "emoji_128"
    atlas: str | None = None

    def __post_init__(self) -> None:
        checks.wholes(self, ("n_objects",), 2, optional=True)
        checks.wholes(self, ("favour_from",), 0, optional=True)
        checks.shares(self, ("reword",))
        checks.choices(self, split=("train", "seen", "held_out"), spec=tuple(SPECS))
        if self.atlas is not None and not isinstance(self.atlas, str | os.PathLike):
            raise ValueError(f"atlas must be a folder or None, got {checks.told(self.atlas)}")
        styles = self.styles
        if styles is not None and (
            not isinstance(styles, tuple | list) or not styles or any(not isinstance(s, str) for s in styles)
        ):
            raise ValueError(f"styles must be a list of names or None for all, got {checks.told(styles)}")
        checks.batches(self)
        checks.seeds(self, "seed")

    def open(
        self, text: TextTokenizer | None, split: str = "train", rank: int = 0, world: int = 1
    ) -> SceneSource:
        """See `trainer.data.source.DataConfig`."""
        split = self.split if split == "train" else split
        return SceneSource(self.load_atlas(), dataclasses.replace(self, split=split), text)

    def load_atlas(self) -> Atlas:
        """The sprites of the world. Raises ValueError where there are none, or smaller ones than it draws."""
        spec = scene_spec(self.spec)
        atlas = Atlas.load(self.atlas or shipped(spec.atlas))
        largest = max([*spec.sizes, *(high for _, high in spec.free_sizes)])
        if spec is not EMOJI_128 and atlas.cell < largest:
            raise ValueError(
                f"{atlas.root} holds sprites of {atlas.cell} pixels, and {spec.name} draws them at {largest}: "
                "leave the atlas out, its own is shipped"
            )
        return atlas

    def generator(self, atlas: Atlas, **changes: Any) -> SceneGenerator:
        """The generator of these scenes; `changes` are arguments of it that differ."""
        wanted = {
            "n_objects": self.n_objects,
            "styles": self.styles,
            "seed": self.seed,
            "split": self.split,
            "favour_from": self.favour_from,
            "reword": self.reword,
            "spec": scene_spec(self.spec),
        }
        return SceneGenerator(atlas, **(wanted | changes))

    def bank(self, atlas: Atlas, device: torch.device | str) -> SpriteBank | FreeBank:
        """The sprites of these scenes, to be drawn on the device."""
        spec = scene_spec(self.spec)
        if spec is EMOJI_128:
            return SpriteBank(atlas, n_objects=self.n_objects, styles=self.styles, device=device)
        return FreeBank(atlas, spec, self.n_objects, self.styles, device)


def picture(scenes: SceneBatch, bank: SpriteBank | FreeBank) -> Tensor:
    """Scenes drawn with the sprites of their world: uint8 [B, H, H, 3] on the bank's device."""
    return draw(scenes, bank) if isinstance(bank, FreeBank) else render(scenes, bank)


class SceneSource:
    """Scenes by batch index: batch i is drawn from a generator seeded by (seed, i), whoever draws it."""

    numbered = True  # a batch of another size is made of other scenes

    def __init__(self, atlas: Atlas, config: SceneDataConfig, text: TextTokenizer | None):
        self.atlas, self.config, self.text = atlas, config, text
        self.scenes = config.generator(
            atlas,
            reword=config.reword if config.split == "train" else 0.0,
            fits=text.fits if text and config.reword else None,
        )
        self._bank: SpriteBank | FreeBank | None = None

    def batch(self, index: int) -> Batch:
        self.scenes.reseed(f"{self.config.seed}-{index}")
        scenes = self.scenes.batch(self.config.batch_size)
        if self.text is None:  # the pictures alone are asked for
            return Batch(torch.zeros(len(scenes), 0, dtype=torch.int64), scenes=scenes)
        return Batch(self.text.encode(scenes.captions), scenes=scenes)

    def render(self, scenes: SceneBatch, device: torch.device) -> Tensor:
        """uint8 [B, H, H, 3], drawn on `device`; H is the image size of the world."""
        if self._bank is None:
            self._bank = self.config.bank(self.atlas, device)
        return picture(scenes, self._bank)

    def boxes(self, scenes: SceneBatch) -> np.ndarray:
        """int64 [B, S, 4]: left, top, right, bottom of every thing with its shadow, in pixels; zero where none is."""
        return regions_of(scenes, self.scenes.spec)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bank": None}  # workers draw no pixels

    def captions(self, count: int) -> Iterator[str]:
        """From all objects, whatever part of them is drawn: the vocabulary still fits when the run is extended."""
        c = self.config
        return captions(self.atlas, SceneDataConfig(spec=c.spec, atlas=c.atlas, seed=c.seed), count)

    def card(self) -> dict[str, Any]:
        objects, styles = [o.name for o in self.scenes.objects], list(self.scenes.styles)
        told = words(self.atlas, objects, styles, self.scenes.spec)
        return {"world": self.config.spec, "objects": objects, "styles": styles, "words": told}


class SceneStream(IterableDataset):
    """Endless batches (SceneBatch, text ids int64 [B, T]); every worker draws its own scenes."""

    def __init__(self, atlas: Atlas, config: SceneDataConfig, text: TextTokenizer | None):
        self.atlas, self.config, self.text = atlas, config, text

    def __iter__(self) -> Iterator[tuple[Any, Tensor | None]]:
        c = self.config
        info = get_worker_info()
        seed = c.seed * 1000 + (info.id if info else 0)
        fits = self.text.fits if self.text and c.reword else None
        scenes = c.generator(self.atlas, seed=seed, fits=fits)
        while True:
            batch = scenes.batch(c.batch_size)
            yield batch, None if self.text is None else self.text.encode(batch.captions)


def scene_batches(
    atlas: Atlas, config: SceneDataConfig, text: TextTokenizer | None = None
) -> Iterator[tuple[Any, Tensor | None]]:
    """Iterate endlessly over batches of scenes, with `config.workers` processes ahead of the training step."""
    loader = DataLoader(
        SceneStream(atlas, config, text),
        batch_size=None,
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
        persistent_workers=False,
    )
    return iter(loader)


def captions(atlas: Atlas, config: SceneDataConfig, count: int) -> Iterator[str]:
    """`count` captions, to learn the prompt vocabulary from."""
    scenes = SceneGenerator(
        atlas,
        n_objects=config.n_objects,
        styles=config.styles,
        seed=config.seed + 77,
        spec=scene_spec(config.spec),
    )
    done = 0
    while done < count:
        yield from scenes.batch(1024).captions[: count - done]
        done += 1024
