"""Captioned pictures by number, whatever they lie in: opened, ordered, divided, and their captions as ids."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mdm_core.families.chisel.config import load_config
from mdm_core.families.chisel.text import TextTokenizer
from trainer.data.folder import FolderRecords, without_place
from trainer.data.texts import Caption
from trainer.data.webdataset import TarRecords, expand


class Captioned(Protocol):
    """Captions by number, with the names of what they belong to."""

    @property
    def names(self) -> list[str]: ...

    @property
    def skipped(self) -> dict[str, str]: ...

    def __len__(self) -> int: ...

    def caption(self, i: int) -> Caption: ...


class Records(Captioned, Protocol):
    """Captioned pictures by number."""

    def read(self, i: int) -> Path | bytes: ...


class Asked(Protocol):
    """What a source reads of its configuration, `trainer.data.own.OwnDataConfig`."""

    @property
    def path(self) -> str: ...

    @property
    def image_size(self) -> int: ...

    @property
    def crop(self) -> float: ...

    @property
    def flip(self) -> bool: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def seed(self) -> int: ...


def open_records(path: str | Path) -> Records:
    """The captioned pictures at `path`: tar shards or a folder. ValueError says what is missing."""
    text = str(path)
    if not text:
        raise ValueError("say where your pictures are: data.path=FOLDER")
    if text.startswith("hf:"):
        raise ValueError(f"{text} is a stream: train on it directly, or give a folder or tar shards here")
    text = os.path.expanduser(text)
    if os.path.isdir(text):  # what exists as it is named is no pattern
        shards = bool(expand(text))
    elif os.path.exists(text) and not text.lower().endswith(".tar"):
        raise ValueError(f"{text} is a file: give a folder of pictures or tar shards")
    else:
        shards = text.lower().endswith(".tar") or any(c in text for c in "{*?[")
    return TarRecords(text) if shards else FolderRecords(text)


class Order:
    """An endless order of n things: position -> number, a new permutation in each epoch."""

    def __init__(self, n: int, seed: int):
        self.n, self.seed = n, seed
        self._epochs: dict[int, np.ndarray] = {}

    def __getitem__(self, position: int) -> int:
        epoch, place = divmod(position, self.n)
        if epoch not in self._epochs:
            if len(self._epochs) > 1:  # workers step over an epoch's end: two suffice
                self._epochs.pop(min(self._epochs))
            self._epochs[epoch] = np.random.default_rng([self.seed, 1, epoch]).permutation(self.n)
        return int(self._epochs[epoch][place])


def split_rows(names: list[str], share: float, split: str) -> np.ndarray:
    """Numbers of the records of a split: "seen" is the `share` that training never sees, chosen by name.

    Fewer than ten records are not divided: both splits hold all of them.
    """
    n = len(names)
    if n < 10 or share <= 0:
        return np.arange(n)
    keys = [hashlib.sha1(name.encode("utf-8", "surrogateescape")).digest()[:8] for name in names]
    ranked = np.argsort(np.array(keys, dtype="S8"), kind="stable")
    held = min(max(1, round(n * share)), n - 1)  # something is left to train on
    return np.sort(ranked[held:] if split == "train" else ranked[:held])


def pick(caption: Caption, rng: np.random.Generator | None) -> str:
    """One caption of several; the first one without rng."""
    if isinstance(caption, str):
        return caption
    return caption[0 if rng is None else int(rng.integers(len(caption)))]


def encode_captions(text: TextTokenizer | None, captions: list[str]) -> Tensor:
    """Captions -> ids int64 [B, T]; what does not fit is cut off, as no prompt may be. Without text, T = 0."""
    if text is None:
        return torch.zeros(len(captions), 0, dtype=torch.int64)
    out = torch.zeros(len(captions), text.length, dtype=torch.int64)
    for row, encoding in zip(out, text.bpe.encode_batch(captions), strict=True):
        ids = encoding.ids[: text.length]
        row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
    return out


def first_captions(records: Captioned, rows: np.ndarray, count: int) -> Iterator[str]:
    """Up to `count` captions, from all over the records."""
    for row in np.random.default_rng(0).permutation(rows):
        try:
            caption = records.caption(int(row))
        except (ValueError, OSError):
            continue
        for text in [caption] if isinstance(caption, str) else caption:
            if count <= 0:
                return
            count -= 1
            yield text


def describe(path: str, records: Captioned, rows: np.ndarray) -> dict[str, Any]:
    """What the model card says: where it learnt from, how many pictures, and prompts to begin with."""
    examples = dict.fromkeys(c for c in first_captions(records, rows, 64) if len(c) <= 80)
    return {"data": {"name": without_place(path), "pictures": len(rows)}, "examples": list(examples)[:8]}


def check_size(config: Asked, folder: Path) -> None:
    """ValueError unless the image tokenizer of a model folder takes pictures as large as they are cut."""
    side = load_config(Path(folder) / "config.json").tokenizer.image_size
    if side != config.image_size:
        raise ValueError(
            f"data.image_size is {config.image_size}, and the image tokenizer in {folder} takes pictures of {side} "
            f"pixels a side: set data.image_size={side}, or choose another --codec"
        )


def told(skipped: dict[str, str], split: str, first: int) -> tuple[str, ...]:
    """What was found unusable when the data was opened: it comes with the first sample of training."""
    begins = first == 0 and split == "train"
    return tuple(f"{name}: {why}" for name, why in skipped.items()) if begins else ()
