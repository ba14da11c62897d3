"""Tokens made beforehand on disk: shards of tokens and captions, and the manifest that binds them.

    tokens.json                 manifest: the tokenizer, the shards, what was skipped
    tokens-00000.safetensors    "tokens" uint16 (or uint32 from V = 65,537 on) [n, views, L]
    tokens-00000.jsonl          n lines {"name": ..., "text": ...}

A shard is written aside and renamed, its captions first: a shard that is there is whole. The manifest is written
last. View 0 is the centre square of a picture; further views are random crops.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from mdm_core.paths import located
from trainer.data.texts import Caption, shown, text_of, usable

MANIFEST = "tokens.json"
FORMAT = {"format": "chisel-tokens", "format_version": 1}


def shard_names(index: int) -> tuple[str, str]:
    """(tokens file, captions file) of a shard."""
    return f"tokens-{index:05d}.safetensors", f"tokens-{index:05d}.jsonl"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(aside, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def encode_shard(tokens: np.ndarray) -> bytes:
    """Tokens [n, views, L] -> a safetensors file."""
    from safetensors.numpy import save

    return save({"tokens": np.ascontiguousarray(tokens)}, metadata={"format": str(FORMAT["format"])})


def map_shard(path: Path) -> np.ndarray:
    """The tokens [n, views, L] of a shard, mapped: rows are read from disk when they are asked for.

    ValueError names a file that is no shard or is cut short.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > 1 << 20:
                raise ValueError("its header is too long")
            entry = json.loads(file.read(length))["tokens"]
        kind = {"U16": np.uint16, "U32": np.uint32}[entry["dtype"]]
        shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
        if len(shape) != 3 or end - begin != np.prod(shape) * np.dtype(kind).itemsize:
            raise ValueError("its shape does not fit its size")
        if not shape[0]:  # every picture of the shard was skipped; nothing can be mapped
            return np.empty(shape, kind)
        return np.memmap(path, kind, "r", 8 + length + begin, shape)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no shard of tokens: {error}") from error


class TokenShards:
    """The shards of a folder, as records: names, captions and tokens by number."""

    def __init__(self, folder: str | Path):
        """ValueError when the manifest or a shard is missing, broken, or unfinished."""
        self.folder = located(folder)
        manifest = read_manifest(self.folder)
        if not manifest.get("complete"):
            raise ValueError(f"{self.folder} is unfinished: run the same `python -m trainer tokens` again")
        self.skipped: dict[str, str] = manifest["skipped"]
        self.views, self.length = int(manifest["views"]), int(manifest["length"])
        self.vocab_size, self.codec = int(manifest["vocab_size"]), manifest["codec"]
        self.names: list[str] = []
        self._captions: list[Caption] = []
        maps, usable_rows, total = [], [], 0
        for i in range(int(manifest["shards"])):
            tokens, captions = (self.folder / n for n in shard_names(i))
            part = map_shard(tokens)
            rows = _captions(captions)
            if part.shape != (len(rows), self.views, self.length):
                raise ValueError(
                    f"{tokens} and {captions.name} do not belong together: delete both and tokenise again"
                )
            for row, (name, caption, why) in enumerate(rows, total):
                if why:
                    self.skipped[name] = why
                else:
                    self.names.append(name)
                    self._captions.append(caption)
                    usable_rows.append(row)
            maps.append(part)
            total += len(rows)
        self._maps = maps
        self._rows = np.array(usable_rows, np.int64)  # of all rows: those whose caption can be used
        self._starts = np.concatenate([[0], np.cumsum([len(m) for m in maps])])
        if not self.names:
            raise ValueError(f"{self.folder} holds no tokens: every picture was skipped")

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": None}  # a worker maps the files anew

    def __setstate__(self, state: dict[str, Any]) -> None:
        paths = [state["folder"] / shard_names(i)[0] for i in range(len(state["_starts"]) - 1)]
        self.__dict__.update(state, _maps=[map_shard(p) for p in paths])

    def tokens(self, i: int, view: int = 0) -> np.ndarray:
        """Tokens [L] of picture i."""
        row = int(self._rows[i])
        shard = int(np.searchsorted(self._starts, row, "right")) - 1
        return self._maps[shard][row - int(self._starts[shard]), view]

    def caption(self, i: int) -> Caption:
        return self._captions[i]


def _captions(path: Path) -> list[tuple[str, Caption, str]]:
    """(name, caption, why it cannot be used or "") of each line; ValueError names a line that is none.

    People edit these files by hand.
    """
    try:
        lines = text_of(path.read_bytes()).split("\n")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    found = []
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, text = shown(row["name"]), row["text"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"line {n} of {path} is no name and text: mend it or tokenise again") from error
        try:
            found.append((name, usable(text), ""))
        except ValueError as error:
            found.append((name, "", str(error)))
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of tokens; ValueError when it is none."""
    try:
        manifest = json.loads(text_of((folder / MANIFEST).read_bytes()))
        found = {k: manifest[k] for k in FORMAT}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no tokens made by `python -m trainer tokens` ({error})") from error
    if found != FORMAT:
        raise ValueError(f"{folder / MANIFEST} has another format than this version reads: {found}")
    return manifest
