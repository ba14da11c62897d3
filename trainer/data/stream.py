"""Streamed datasets through the Hugging Face `datasets` library: `pip install 'chisel-mdm[hf]'`.

    data.path=hf:ORG/NAME                     from the Hub; fetched as it is read, and only if you ask for it here
    data.path=hf:ORG/NAME#SPLIT               another split than "train"
    data.path='hf:parquet:/data/*.parquet'    local files through the library: parquet, arrow, webdataset, imagefolder

Columns are found by name: image, jpg, png, ... and text, caption, prompt, txt, json. The stream is shuffled in a
buffer by the seed and the epoch. After a restart it is read again, without decoding, up to where it was: exact,
and the cost of resuming grows with the place in the epoch. For many epochs, tokenise once instead.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mdm_core.families.chisel.text import TextTokenizer
from trainer.data.file_names import folders_apart, kept_apart
from trainer.data.folder import without_place
from trainer.data.pictures import Framing, read_picture, square
from trainer.data.records import Asked, check_size, encode_captions, pick
from trainer.data.source import Batch
from trainer.data.texts import CAPTIONS, clean, lost, shown, text_of
from trainer.data.webdataset import as_named, expand

IMAGES = ("image", "jpg", "jpeg", "png", "webp", "img", "picture")
TEXTS = (*CAPTIONS, "txt", "json", "captions")
LOCAL = ("parquet", "arrow", "webdataset", "imagefolder")
BUFFER = 1000  # examples among which the stream is shuffled
HELD_OUT = 256  # first examples of the stream, kept for validation
MOST_CAPTIONS = 10_000  # read ahead to learn the prompt vocabulary
WHOLE = 1 << 60  # more examples than any epoch has
TRIES = 1000  # unusable examples in a row


def open_dataset(path: str) -> Any:
    """The streamed dataset of an "hf:" path; ValueError when the library or the dataset is missing."""
    try:
        import datasets
    except ImportError:
        raise ValueError("hf: paths need the datasets library: pip install 'chisel-mdm[hf]'") from None
    name, _, split = path.removeprefix("hf:").partition("#")
    kind, _, files = name.partition(":")
    where: dict[str, Any] = {"path": name}
    if files and kind in LOCAL:
        where = {"path": kind, "data_dir" if kind == "imagefolder" else "data_files": local_files(files)[0]}
    try:
        return datasets.load_dataset(**where, split=split or "train", streaming=True)
    except Exception as error:  # the library raises many kinds, of the network and of its own
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"the dataset {name!r} cannot be opened: {reason[:200]}") from error


def local_files(pattern: str) -> tuple[str | list[str], dict[str, str]]:
    """(what the library is asked for, files left out -> why) of a local path or pattern.

    What exists as it is named is taken so. Of files named as parts to train and to test on only the first are read.
    """
    pattern = os.path.expanduser(pattern)
    if "://" in pattern:
        return pattern, {}
    if os.path.isdir(pattern):  # the library makes splits of its folders, and one of them is asked for
        folders = [n for n in os.listdir(pattern) if os.path.isdir(os.path.join(pattern, n))]
        return glob.escape(pattern), folders_apart(folders)
    found = expand(pattern)
    apart = kept_apart(found)
    named = pattern if os.path.exists(pattern) else as_named(pattern)[0]
    if not apart and not (found and glob.has_magic(named)):
        return pattern, {}
    # the library takes every name for a pattern
    return [glob.escape(f) for f in found if f not in apart], apart


def undecoded(data: Any) -> Any:
    """The dataset with its pictures as bytes, so that a broken one is met by our reader and not by the library."""
    import datasets

    for column, feature in (data.features or {}).items():
        if isinstance(feature, datasets.Image):
            data = data.cast_column(column, datasets.Image(decode=False))
    return data


def unpack(example: dict[str, Any]) -> tuple[Any, str | list[str]]:
    """(picture: bytes, path or PIL image; caption) of one example; ValueError when either is missing."""
    column = next((c for c in IMAGES if example.get(c) is not None), None)
    if column is None:
        raise ValueError("it has no image")
    picture = example[column]
    if isinstance(picture, dict):
        picture = picture.get("bytes") or (Path(picture["path"]) if picture.get("path") else None)
    text = next((example[c] for c in TEXTS if example.get(c) is not None), None)
    if picture is None:
        raise ValueError("it has no image")
    if isinstance(text, dict):  # the .json of a WebDataset sample
        text = next((text[c] for c in CAPTIONS if c in text), None)
    if isinstance(text, bytes):
        text = text_of(text)
    if why := lost(text):
        raise ValueError(why)
    caption = clean(text)
    if not caption:
        raise ValueError("it has no caption")
    return picture, caption


def left_out(path: str) -> dict[str, str]:
    """Local files of an "hf:" path that are named as parts to test on, and why they are not read."""
    name, _, split = path.removeprefix("hf:").partition("#")
    kind, _, files = name.partition(":")
    if split and os.path.isdir(os.path.expanduser(files)):  # one of its folders is asked for by name
        return {}
    apart = local_files(files)[1] if files and kind in LOCAL else {}
    return {shown(os.path.basename(name)): why for name, why in apart.items()}


class HubStream:
    """Batches of a streamed dataset, in its order. See `trainer.data.source.Stream`."""

    def __init__(
        self,
        config: Asked,
        text: TextTokenizer | None,
        split: str,
        rank: int,
        world: int,
        data: Any = None,
    ):
        """data: an opened dataset in place of the one at config.path."""
        self.config, self.text, self.rank, self.world = config, text, rank, world
        self.train = split == "train"
        self.framing = Framing(config.image_size, config.crop, config.flip)
        self.whole = undecoded(open_dataset(config.path)) if data is None else data
        part = self.whole.skip(HELD_OUT) if self.train else self.whole.take(HELD_OUT)
        self.data = part.shuffle(seed=config.seed, buffer_size=BUFFER) if self.train else part
        self.epoch, self.taken = 0, 0  # examples taken from this epoch, of all processes together
        # since the last batch, which tells of them
        self.skipped = left_out(config.path) if self.train else {}
        self._before: dict[str, list[list[int]]] = {}  # see `join`
        self._examples: Iterator[dict[str, Any]] | None = None

    def _next(self) -> tuple[int, dict[str, Any]]:
        """(number within the epoch, example); begins a new epoch at the end of one."""
        for _ in range(2):
            if self._examples is None:
                self.data.set_epoch(self.epoch)
                self._examples = iter(self.data)
                for _ in range(self.taken):
                    next(self._examples, None)
            example = next(self._examples, None)
            if example is not None:
                self.taken += 1
                return self.taken - 1, example
            self.epoch, self.taken, self._examples = self.epoch + 1, 0, None
        raise ValueError(
            f"{self.config.path} holds no examples besides the first {HELD_OUT}, kept for validation"
        )

    def _name(self, number: int, example: dict[str, Any]) -> str:
        """What a person finds the example by: its key or file, else its place in the shuffled epoch."""
        found = (example[c] for c in IMAGES if isinstance(example.get(c), dict))
        picture: dict[str, Any] = next(found, {})
        place = f"example {number}" + (f" of epoch {self.epoch}" if self.epoch else "")
        return shown(str(example.get("__key__") or picture.get("path") or place))

    def _sample(self) -> tuple[np.ndarray, str]:
        tried, begun = 0, self.epoch
        while tried < TRIES and self.epoch <= begun + 2:
            number, example = self._next()
            if number % self.world != self.rank or self._was_read(number):
                continue
            tried += 1
            rng = np.random.default_rng([self.config.seed, 4, self.epoch, number]) if self.train else None
            try:
                picture, caption = unpack(example)
                if isinstance(picture, Image.Image):
                    picture = picture.convert("RGB")
                else:
                    picture = read_picture(picture, hint=2 * self.framing.side)
                pixels = square(picture, self.framing, rng)
            except (ValueError, OSError) as error:
                self.skipped[self._name(number, example)] = str(error)
                continue
            return pixels, pick(caption, rng)
        reason = next(iter(self.skipped.items()), ("", "no example for this process"))
        raise ValueError(
            f"{tried} examples in a row of {self.config.path} are unusable, e.g. {': '.join(reason)}"
        )

    def __next__(self) -> Batch:
        samples = [self._sample() for _ in range(self.config.batch_size)]
        images = torch.from_numpy(np.stack([pixels for pixels, _ in samples]))  # [B, S, S, 3]
        text = encode_captions(self.text, [caption for _, caption in samples])
        told, self.skipped = tuple(f"{name}: {why}" for name, why in self.skipped.items()), {}
        return Batch(text, images=images, skipped=told)

    def check_codec(self, folder: Path) -> None:
        """ValueError unless the image tokenizer of this model folder takes pictures of this size."""
        check_size(self.config, folder)

    def state_dict(self) -> dict[str, Any]:
        before = {"before": self._before} if self._before else {}
        return {"epoch": self.epoch, "taken": self.taken, **before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.taken, self._examples = int(state["epoch"]), int(state["taken"]), None
        self._before = state.get("before", {})

    def join(self, states: list[dict[str, Any]]) -> None:
        """Go on where another number of processes stood: `states` are theirs, by rank.

        Process r of w had read the examples r, r + w, ... up to its place, and the others theirs: of every epoch that
        not all have left, the places are kept, and what was read is passed over.
        """
        self._before = {epoch: list(places) for epoch, places in states[0].get("before", {}).items()}
        places = [(int(s["epoch"]), int(s["taken"])) for s in states]
        self.epoch, last = min(places)[0], max(places)[0]
        self._before = {e: p for e, p in self._before.items() if int(e) >= self.epoch}
        for epoch in range(self.epoch, last + 1):
            read = [taken if at == epoch else WHOLE if at > epoch else 0 for at, taken in places]
            self._before.setdefault(str(epoch), []).append(read)
        self.taken, self._examples = 0, None
        first = self._before[str(self.epoch)][-1]
        self.taken = min(first)  # all before it was read

    def _was_read(self, number: int) -> bool:
        """Whether an example of this epoch was read before the number of processes changed."""
        return any(number < read[number % len(read)] for read in self._before.get(str(self.epoch), ()))

    def captions(self, count: int) -> Iterator[str]:
        for example in self.whole.take(min(count, MOST_CAPTIONS)):
            try:
                caption = unpack(example)[1]
            except ValueError:
                continue
            yield from [caption] if isinstance(caption, str) else caption

    def card(self) -> dict[str, Any]:
        examples = dict.fromkeys(c for c in self.captions(64) if len(c) <= 80)
        return {
            "data": {"name": without_place(self.config.path).removeprefix("hf:")},
            "examples": list(examples)[:8],
        }
