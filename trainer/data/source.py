"""Where batches come from: what a data source must offer, and the loader that draws ahead of the training step.

A source answers `batch(index)`: the same index gives the same batch, in any process and after any restart. That
alone makes a run exactly resumable with any number of workers and of devices: the position in the data is one
integer, the number of samples drawn so far by all devices together. `Placed` goes on from there with another size of
batch. A source that can only be read in order (a streamed dataset) offers `__next__` with `state_dict` and
`load_state_dict` instead, and is read in the training process or one process ahead of it.

A recipe's `data` is a frozen dataclass with the fields batch_size, workers and seed, and a method
`open(text, split)`; see `trainer/scenes/source.py` for the scenes. It may say `learns_prompts = True`: then the prompt
vocabulary comes from its captions, not from the folder of the image tokenizer. A source may offer
`check_codec(folder)`, which raises ValueError when its tokens or pictures are for another image tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mdm_core.families.chisel.text import TextTokenizer


@dataclass
class Batch:
    """One batch: prompt ids, and one of three ways to the image tokens."""

    text: Tensor  # int64 [B, T]
    tokens: Tensor | None = None  # int64 [B, L], tokenised beforehand
    images: Tensor | None = None  # uint8 [B, H, W, 3], square, at the tokenizer's image size
    scenes: Any = None  # trainer.scenes.generator.SceneBatch, drawn on the training device
    skipped: tuple[str, ...] = ()  # "name: why" of files that could not be read and were replaced

    def __len__(self) -> int:
        return len(self.text)


@runtime_checkable
class ByIndex(Protocol):
    """Batches by index. `batch` runs in worker processes: no GPU there, and the source must pickle."""

    def batch(self, index: int) -> Batch:
        """Batch number `index` (0, 1, ...), endless: an epoch's end is the source's own affair.

        It holds the samples index * batch_size, index * batch_size + 1, ... of an endless order, so that batches of
        another size hold the same samples. A source whose batches are drawn anew for each index says
        `numbered = True`. One that can begin anywhere offers `at(first)`: the batch that begins with that sample.
        """


class Source(ByIndex, Protocol):
    """What a model is trained on: batches by index, with their captions and a card."""

    def captions(self, count: int) -> Iterator[str]:
        """Up to `count` captions, to learn the prompt vocabulary from."""

    def card(self) -> dict[str, Any]:
        """What the model card says of the data, e.g. {"objects": [...], "styles": [...]}."""


@runtime_checkable
class Drawing(Protocol):
    """What a source whose batches hold scenes offers besides. One may offer, too,
    `boxes(scenes)`: int64 [B, S, 4] in pixels, where the things of scenes are."""

    def render(self, scenes: Any, device: torch.device) -> Tensor:
        """uint8 [B, H, W, 3] on the training device."""


class Stream(Protocol):
    """Batches in order only. One stream per process: `open` gets its rank and the number of processes."""

    def __next__(self) -> Batch: ...

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch, as JSON values."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def captions(self, count: int) -> Iterator[str]: ...

    def card(self) -> dict[str, Any]: ...


class DataConfig(Protocol):
    """The `data` part of a recipe."""

    batch_size: int  # of one device and one micro-batch
    workers: int
    seed: int

    def open(
        self, text: TextTokenizer | None, split: str = "train", rank: int = 0, world: int = 1
    ) -> Source | Stream:
        """The source of a split: "train", or "seen" for validation (drawn alike, never trained on).

        text is None where only `captions` and `card` are asked for. A `Source` may ignore rank and world: the
        loop gives every process indices of its own.
        """


@dataclass
class Placed:
    """A source that goes on from a place: its batch `number` begins with sample `first`, whatever came before."""

    source: ByIndex
    number: int  # micro-batches drawn so far, by all devices: the index that comes next
    first: int  # samples drawn so far
    size: int  # samples of a batch

    def batch(self, index: int) -> Batch:
        first = self.first + (index - self.number) * self.size
        if getattr(self.source, "numbered", False):
            return self.source.batch(index)
        whole, inside = divmod(first, self.size)
        if not inside:
            return self.source.batch(whole)
        if hasattr(self.source, "at"):
            return self.source.at(first)
        return joined(self.source.batch(whole), self.source.batch(whole + 1), inside)


def joined(a: Batch, b: Batch, cut: int) -> Batch:
    """A batch that begins with sample `cut` of a and is filled up with the first ones of b."""

    def part(x: Tensor | None, y: Tensor | None) -> Tensor | None:
        return None if x is None or y is None else torch.cat([x[cut:], y[:cut]])

    if a.scenes is not None:
        raise ValueError("scenes cannot be cut: their source must say numbered = True")
    text = torch.cat([a.text[cut:], b.text[:cut]])
    tokens, images = part(a.tokens, b.tokens), part(a.images, b.images)
    return Batch(text, tokens, images, skipped=(*a.skipped, *b.skipped))


class _Indexed(Dataset):
    def __init__(self, source: ByIndex, first: int, stride: int):
        self.source, self.first, self.stride = source, first, stride

    def __len__(self) -> int:
        return 1 << 40  # endless

    def __getitem__(self, i: int) -> Batch | ValueError:
        try:
            return self.source.batch(self.first + i * self.stride)
        except ValueError as error:  # raised here, it would arrive with the worker's traceback in its message
            return error


class _InOrder:
    """0, 1, 2, ...: a plain range would be turned into a list."""

    def __iter__(self) -> Iterator[int]:
        i = 0
        while True:
            yield i
            i += 1

    def __len__(self) -> int:
        return 1 << 40


def batches(source: ByIndex | Stream, first: int, stride: int, workers: int) -> Iterator[Batch]:
    """Batches first, first + stride, ... in this order, drawn ahead by `workers` processes (0: on demand)."""
    if not isinstance(source, ByIndex):
        while True:
            yield next(source)
    if workers == 0:
        index = first
        while True:
            yield source.batch(index)
            index += stride
    loader = DataLoader(
        _Indexed(source, first, stride),
        batch_size=None,
        sampler=_InOrder(),
        num_workers=workers,
        prefetch_factor=4,
        generator=torch.Generator(),  # the loader's own seed must not move the run's random numbers
    )
    for batch in loader:
        if isinstance(batch, ValueError):
            raise batch
        yield batch
