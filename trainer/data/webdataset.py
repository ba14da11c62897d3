"""Tar shards in the WebDataset layout: files with one stem are one sample ("0001.jpg", "0001.txt").

The headers are read once, when the shards are opened; then any picture is one read at a known place, so that a
shuffled order over all shards is as cheap as reading in order, and exactly resumable.
"""

from __future__ import annotations

import glob
import itertools
import json
import math
import os
import re
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mdm_core.images.pictures import SUFFIXES
from trainer.data.file_names import folders_apart, kept_apart, parents, same_name
from trainer.data.folder import passed_over
from trainer.data.texts import Caption, caption_in, shown, text_of, usable

TEXTS = (".txt", ".caption", ".text", ".cls.txt")
LARGEST = 1 << 28  # bytes of a member that is read
LARGEST_TEXT = 1 << 20


_reading = threading.Lock()  # a file's place is shared by the threads of a process
# one that another thread held at that moment would never be free in the child
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: globals().update(_reading=threading.Lock()))


def expand(pattern: str) -> list[str]:
    """Files of a pattern: a folder of .tar files, a glob, or braces as in shard-{000..041}.tar, sorted.

    What exists as it is named is taken as it is named.
    """
    pattern = os.path.expanduser(pattern)
    if os.path.isdir(pattern):
        try:
            names = [os.path.join(pattern, n) for n in os.listdir(pattern) if not n.startswith(".")]
        except OSError as error:
            raise ValueError(f"{pattern} cannot be opened ({error.strerror})") from error
        return sorted(n for n in names if n.lower().endswith(".tar") and os.path.isfile(n))
    if os.path.exists(pattern):
        return [pattern]
    head, tail = as_named(pattern)
    parts = re.split(r"\{(\d+)\.\.(\d+)\}", tail)
    choices: list[list[str]] = []
    for i in range(0, len(parts), 3):
        choices.append([parts[i]])
        if i + 1 < len(parts):
            first, last = parts[i + 1], parts[i + 2]
            if int(last) - int(first) > 1_000_000:
                raise ValueError(f"{pattern} stands for more than a million shards")
            choices.append([str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)])
    if math.prod(map(len, choices)) > 1_000_000:
        raise ValueError(f"{pattern} stands for more than a million shards")
    names = ["".join(c) for c in itertools.product(*choices)]
    found = {head + n for n in names if os.path.isfile(head + n)}
    # brackets that match nothing are meant as they stand
    for part in (names, [n.replace("[", "[[]") for n in names]):
        if not found:
            matches = (
                m for n in part[:10_000] if glob.has_magic(n) for m in glob.glob(glob.escape(head) + n)
            )
            found = {m for m in matches if os.path.isfile(m)}
    return sorted(found)


def as_named(pattern: str) -> tuple[str, str]:
    """A pattern in two: leading folders that exist as they are named, and what may be a pattern."""
    head, tail = "", pattern
    while cut := next((i + 1 for i, c in enumerate(tail) if c in ("/", os.sep)), 0):
        if not os.path.isdir(head + tail[:cut]):
            break
        head, tail = head + tail[:cut], tail[cut:]
    return head, tail


@dataclass
class _Shard:
    """What the headers of one tar file tell: picture and text members as (offset, bytes)."""

    path: str
    keys: list[str] = field(default_factory=list)
    suffixes: list[str] = field(default_factory=list)
    pictures: list[tuple[int, int]] = field(default_factory=list)
    texts: list[tuple[int, int, str]] = field(default_factory=list)  # and the suffix
    skipped: dict[str, str] = field(default_factory=dict)


def _index(path: str) -> _Shard:
    shard = _Shard(path)
    label = os.path.basename(path)
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    spelt: dict[str, str] = {}  # the first of the names that mean the same
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, _, base = member.name.rpartition("/")
                stem, dot, suffix = base.partition(".")
                if not member.isreg() or not stem or not dot:
                    continue
                key = f"{folder}/{stem}" if folder else stem
                if key not in samples:
                    key = spelt.setdefault(same_name(key + ".x"), key)
                parts = samples.setdefault(key, {})
                if "." + suffix.lower() in parts:
                    shard.skipped[shown(f"{label}:{member.name}")] = "it is there twice, the first one counts"
                    continue
                parts["." + suffix.lower()] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError, ValueError) as error:
        shard.skipped[label] = f"read up to sample {len(samples)} only: {error}"
    apart = folders_apart(parents(samples))
    shard.skipped |= {shown(f"{label}:{folder}/"): why for folder, why in apart.items()}
    for key, parts in samples.items():
        if apart and any(key.startswith(folder + "/") for folder in apart):
            continue
        picture = next((s for s in parts if s in SUFFIXES), None)
        text = next((s for s in (*TEXTS, ".json") if s in parts), None)
        if picture is None or text is None:
            why = next(filter(None, map(passed_over, parts)), None) if picture is None else None
            shard.skipped[shown(f"{label}:{key}")] = (
                why or f"it has no {'picture' if picture is None else 'text'}"
            )
        elif parts[picture][1] > LARGEST:
            shard.skipped[shown(f"{label}:{key}")] = f"it is larger than {LARGEST >> 20} MiB"
        else:
            shard.keys.append(key)
            shard.suffixes.append(picture)
            shard.pictures.append(parts[picture])
            shard.texts.append((*parts[text], text))
    return shard


class TarRecords:
    """Samples of tar shards, in the shards' order. The same interface as `FolderRecords`."""

    def __init__(self, pattern: str | Path):
        """ValueError when nothing matches the pattern or no shard holds a captioned picture."""
        self.paths = expand(str(pattern))
        if not self.paths:
            raise ValueError(f"no tar shards match {pattern}")
        apart = kept_apart(self.paths)
        self.paths = [p for p in self.paths if p not in apart]
        with ThreadPoolExecutor(min(8, len(self.paths))) as pool:
            shards = list(pool.map(_index, self.paths))
        self.skipped = {shown(os.path.basename(p)): why for p, why in apart.items()}
        self.skipped |= {k: v for s in shards for k, v in s.skipped.items()}
        ends = np.cumsum([len(s.keys) for s in shards])
        self._starts = np.concatenate([[0], ends])
        self._shards = shards
        self._files: dict[tuple[int, int], int] = {}
        if not ends[-1]:
            reason = next((f" (for instance {k}: {v})" for k, v in self.skipped.items()), "")
            raise ValueError(f"{pattern} holds no sample with a picture and a text{reason}")

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_files": {}}  # open files stay in their process

    @cached_property
    def names(self) -> list[str]:
        return [
            f"{os.path.basename(s.path)}:{key}{suffix}"
            for s in self._shards
            for key, suffix in zip(s.keys, s.suffixes, strict=True)
        ]

    def _locate(self, i: int) -> tuple[int, int]:
        shard = int(np.searchsorted(self._starts, i, "right")) - 1
        return shard, i - int(self._starts[shard])

    def _bytes(self, shard: int, offset: int, size: int) -> bytes:
        key = (os.getpid(), shard)  # a forked worker opens files of its own
        with _reading:
            if key not in self._files:
                if len(self._files) >= 128:
                    os.close(self._files.pop(next(iter(self._files))))
                self._files[key] = os.open(self.paths[shard], os.O_RDONLY | getattr(os, "O_BINARY", 0))
            file = self._files[key]
            os.lseek(file, offset, os.SEEK_SET)
            parts = []
            while size > 0 and (part := os.read(file, size)):
                parts.append(part)
                size -= len(part)
        return b"".join(parts)

    def read(self, i: int) -> bytes:
        """The encoded picture of sample i."""
        shard, row = self._locate(i)
        return self._bytes(shard, *self._shards[shard].pictures[row])

    def caption(self, i: int) -> Caption:
        """The caption of sample i; ValueError when its text is no caption."""
        shard, row = self._locate(i)
        offset, size, suffix = self._shards[shard].texts[row]
        raw = self._bytes(shard, offset, min(size, LARGEST_TEXT))
        text = text_of(raw, cut=size > LARGEST_TEXT)
        if suffix == ".json":
            try:
                text = json.loads(text)
            except (ValueError, RecursionError):
                raise ValueError("its .json is no JSON") from None
        try:
            return caption_in(text) if suffix == ".json" else usable(text)
        except ValueError as error:
            raise ValueError(f"it has no caption: {error}") from None
