"""Batches for training: scenes drawn in worker processes, rendered and tokenised on the training device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mdm_core.text import TextTokenizer
from trainer.atlas import Atlas
from trainer.scenes import SceneGenerator


@dataclass(frozen=True)
class SceneDataConfig:
    """Which scenes are drawn. `n_objects` and `styles` select a part of the atlas (None: all of it);
    objects from index `favour_from` on are drawn twice as often."""

    n_objects: int | None = None
    styles: tuple[str, ...] | None = None
    favour_from: int | None = None
    split: str = "train"
    batch_size: int = 64
    workers: int = 0
    seed: int = 0


class SceneStream(IterableDataset):
    """Endless batches (SceneBatch, text ids int64 [B, T]); every worker draws its own scenes."""

    def __init__(self, atlas: Atlas, config: SceneDataConfig, text: TextTokenizer | None):
        self.atlas, self.config, self.text = atlas, config, text

    def __iter__(self) -> Iterator[tuple[Any, Tensor | None]]:
        c = self.config
        info = get_worker_info()
        seed = c.seed * 1000 + (info.id if info else 0)
        scenes = SceneGenerator(
            self.atlas,
            n_objects=c.n_objects,
            styles=c.styles,
            seed=seed,
            split=c.split,
            favour_from=c.favour_from,
        )
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
    scenes = SceneGenerator(atlas, n_objects=config.n_objects, styles=config.styles, seed=config.seed + 77)
    done = 0
    while done < count:
        yield from scenes.batch(1024).captions[: count - done]
        done += 1024
