"""Training data of one's own: a folder of captioned pictures, tar shards, tokens made beforehand, or a stream.

`OwnDataConfig(path=...)` finds out which by itself:

    a folder with tokens.json           made by `python -m trainer tokens`
    x.tar, "x-{000..041}.tar", folder   tar shards in the WebDataset layout (a folder that holds .tar files)
    any other folder                    pictures with metadata.jsonl, metadata.csv or .txt captions
    hf:NAME                             streamed through the `datasets` library (`pip install chisel-mdm[hf]`)

What exists as it is named is no pattern: a folder may be called "set [v2]" or "cats {2024}". Of parts named to train
on and to test on, side by side, only the first are used, and the others named in `skipped`.

Every batch but those of a stream is a pure function of (seed, index): the order is a new permutation each epoch,
and the crop and the caption chosen for a picture depend on its position alone. A picture that cannot be read is
replaced by another one and named.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.paths import located
from trainer import checks
from trainer.data.pictures import MOST_SIDE, Framing, read_picture, square
from trainer.data.records import (
    Order,
    Records,
    check_size,
    describe,
    encode_captions,
    first_captions,
    open_records,
    pick,
    split_rows,
    told,
)
from trainer.data.source import Batch, Source, Stream
from trainer.data.stream import HubStream
from trainer.data.texts import shown
from trainer.data.token_shards import MANIFEST, TokenShards

TRIES = 64  # pictures tried in place of one that cannot be read


class PictureSource:
    """Batches of captioned pictures, cut and scaled on the way. See `trainer.data.source.Source`."""

    def __init__(self, records: Records, config: OwnDataConfig, text: TextTokenizer | None, split: str):
        self.records, self.config, self.text, self.split = records, config, text, split
        self.rows = split_rows(records.names, config.held_out, split)
        self.framing = Framing(config.image_size, config.crop, config.flip)
        self.order = Order(len(self.rows), config.seed)
        self.skipped = dict(records.skipped)
        self._broken: dict[int, str] = {}

    def row(self, position: int) -> int:
        """The record at a position of the endless order."""
        if self.split != "train":
            return int(self.rows[position % len(self.rows)])
        return int(self.rows[self.order[position]])

    def _load(self, row: int, rng: np.random.Generator | None) -> tuple[np.ndarray, str]:
        picture = read_picture(self.records.read(row), hint=2 * self.framing.side)
        return square(picture, self.framing, rng), pick(self.records.caption(row), rng)

    def sample(self, position: int) -> tuple[np.ndarray, str, list[str]]:
        """(pixels uint8 [S, S, 3], caption, "name: why" of what could not be read in its place)."""
        row = self.row(position)
        failed: list[str] = []
        for attempt in range(TRIES):
            rng = np.random.default_rng([self.config.seed, 2, position, attempt])
            if row not in self._broken:
                try:
                    return *self._load(row, rng if self.split == "train" else None), failed
                except (ValueError, OSError) as error:
                    self._broken[row] = str(error)
            failed.append(f"{shown(self.records.names[row])}: {self._broken[row]}")
            row = int(self.rows[rng.integers(len(self.rows))])
        raise ValueError(f"{TRIES} pictures in a row cannot be read; the first one is {failed[0]}")

    def batch(self, index: int) -> Batch:
        return self.at(index * self.config.batch_size)

    def at(self, first: int) -> Batch:
        """The batch that begins with the sample at position `first` of the endless order."""
        samples = [self.sample(first + i) for i in range(self.config.batch_size)]
        images = torch.from_numpy(np.stack([s[0] for s in samples]))  # [B, S, S, 3]
        text = encode_captions(self.text, [s[1] for s in samples])
        unread = tuple(f for s in samples for f in s[2])
        return Batch(text, images=images, skipped=told(self.skipped, self.split, first) + unread)

    def check_codec(self, folder: Path) -> None:
        """ValueError unless the image tokenizer of this model folder takes pictures of this size."""
        check_size(self.config, folder)

    def captions(self, count: int) -> Iterator[str]:
        yield from first_captions(self.records, self.rows, count)

    def card(self) -> dict[str, Any]:
        return describe(self.config.path, self.records, self.rows)


class TokenSource:
    """Batches of tokens made beforehand. See `trainer.data.source.Source`."""

    def __init__(self, shards: TokenShards, config: OwnDataConfig, text: TextTokenizer | None, split: str):
        self.shards, self.config, self.text, self.split = shards, config, text, split
        self.rows = split_rows(shards.names, config.held_out, split)
        self.order = Order(len(self.rows), config.seed)
        self.skipped = dict(shards.skipped)

    def batch(self, index: int) -> Batch:
        return self.at(index * self.config.batch_size)

    def at(self, first: int) -> Batch:
        """The batch that begins with the sample at position `first` of the endless order."""
        tokens, captions = [], []
        for position in range(first, first + self.config.batch_size):
            if self.split == "train":
                rng = np.random.default_rng([self.config.seed, 2, position, 0])
                row, view = self.rows[self.order[position]], int(rng.integers(self.shards.views))
            else:
                rng, row, view = None, self.rows[position % len(self.rows)], 0
            tokens.append(self.shards.tokens(int(row), view))
            captions.append(pick(self.shards.caption(int(row)), rng))
        x0 = torch.from_numpy(np.stack(tokens).astype(np.int64))  # [B, L]
        return Batch(
            encode_captions(self.text, captions), tokens=x0, skipped=told(self.skipped, self.split, first)
        )

    def check_codec(self, folder: Path) -> None:
        """ValueError unless the tokens were made by the image tokenizer of this model folder."""
        weights = Path(folder) / "image_tokenizer.safetensors"
        if hashlib.sha256(weights.read_bytes()).hexdigest() != self.shards.codec:
            raise ValueError(
                f"the tokens in {self.config.path} were made by another image tokenizer than {weights}: "
                "choose that one with --codec, or tokenise again"
            )

    def captions(self, count: int) -> Iterator[str]:
        yield from first_captions(self.shards, self.rows, count)

    def card(self) -> dict[str, Any]:
        return describe(self.config.path, self.shards, self.rows)


@dataclass(frozen=True)
class OwnDataConfig:
    """Where the pictures are and how they are cut; the `data` part of a recipe."""

    path: str = ""
    image_size: int = 128  # pixels a side, as the image tokenizer takes them
    crop: float = 1.0  # smallest share of the shorter side that a random square keeps; 1.0: the centre square
    flip: bool = False  # mirror half of the pictures: not for captions that say left or right
    held_out: float = 0.02  # share of the pictures kept for validation
    batch_size: int = 64
    workers: int = 0
    seed: int = 0

    learns_prompts: ClassVar[bool] = True  # the prompt vocabulary comes from these captions

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | os.PathLike):
            raise ValueError(
                f"path must be the name of a folder or of tar shards, got {checks.told(self.path)}"
            )
        object.__setattr__(self, "path", os.fspath(self.path))
        if not isinstance(self.path, str) or "\0" in self.path:
            raise ValueError(
                f"path must be the name of a folder or of tar shards, got {checks.told(self.path)}"
            )
        checks.wholes(self, ("image_size",), 8, MOST_SIDE)
        checks.numbers(self, ("crop",), 0.1, 1.0)
        checks.flags(self, "flip")
        checks.shares(self, ("held_out",), whole=False)
        checks.batches(self)
        checks.seeds(self, "seed")

    def open(
        self, text: TextTokenizer | None, split: str = "train", rank: int = 0, world: int = 1
    ) -> Source | Stream:
        """See `trainer.data.source.DataConfig`. ValueError when there is nothing to train on."""
        if self.path.startswith("hf:"):
            return HubStream(self, text, split, rank, world)
        try:
            return self._open(text, split)
        except OSError as error:
            raise ValueError(f"{checks.told(self.path)} cannot be opened ({error.strerror})") from error

    def _open(self, text: TextTokenizer | None, split: str) -> Source:
        folder = located(self.path)
        if (folder / MANIFEST).is_file():
            return TokenSource(TokenShards(folder), self, text, split)
        return PictureSource(open_records(self.path), self, text, split)
