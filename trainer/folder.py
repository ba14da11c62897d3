"""A folder of captioned pictures, in the layout that Hugging Face calls an image folder.

    my_pictures/
        metadata.jsonl     {"file_name": "red/cup.png", "text": "a red cup"}      one object a line
        metadata.csv       file_name,text                                          or a table
        red/cup.png

Captions stand in the column `text`, `caption` or `prompt`; a list of strings offers several. Without metadata a
caption is looked for in `cup.txt` beside the picture, else the name of its sub-folder is the caption. Names are
relative to the metadata file. What cannot be used is skipped, with its reason.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.pictures import SUFFIXES

NAMES, CAPTIONS = ("file_name", "image", "filename", "file"), ("text", "caption", "prompt")
METADATA = ("metadata.jsonl", "metadata.csv")
LONGEST_CAPTION = 2000  # characters; the rest is cut off

Caption = str | list[str]


class FolderRecords:
    """Pictures and captions of a folder, sorted by name. Nothing is decoded until it is read.

    names: list of file names relative to the root; captions: str or list of str each;
    skipped: name -> why, for what the metadata or the folder hold in vain.
    """

    def __init__(self, root: str | Path):
        """ValueError when the folder is missing or holds no captioned picture."""
        self.root = Path(root)
        if not self.root.is_dir():
            raise ValueError(f"{self.root} is no folder: give one with pictures and a metadata.jsonl")
        self.skipped: dict[str, str] = {}
        files = dict(_files(self.root))  # relative name -> suffix, lower case
        pictures = {name for name, suffix in files.items() if suffix in SUFFIXES}
        tables = [n for n in files if n.rsplit("/", 1)[-1] in METADATA]
        captions = self._from_metadata(tables, pictures) if tables else self._beside(files, pictures)
        self.names = sorted(captions)
        self.captions: list[Caption] = [captions[n] for n in self.names]
        if not self.names:
            raise ValueError(
                f"{self.root} holds no captioned picture: add a metadata.jsonl with lines like "
                '{"file_name": "cup.png", "text": "a red cup"}' + self._first_reason()
            )

    def __len__(self) -> int:
        return len(self.names)

    def read(self, i: int) -> Path:
        """Where picture i lies."""
        return self.root / self.names[i]

    def caption(self, i: int) -> Caption:
        return self.captions[i]

    def _first_reason(self) -> str:
        for name, why in self.skipped.items():
            return f" (for instance {name}: {why})"
        return ""

    def _from_metadata(self, tables: list[str], pictures: set[str]) -> dict[str, Caption]:
        captions: dict[str, Caption] = {}
        for table in sorted(tables):
            base = table.rpartition("/")[0]
            for where, row in _rows(self.root / table, table):
                name, caption, why = _entry(row)
                if not why:
                    full = f"{base}/{name}" if base else name
                    if full in captions:
                        why = "listed twice, the first line counts"
                    elif full not in pictures:
                        why = _absent(name)
                if why:
                    self.skipped[f"{where} ({shown(name)})" if name else where] = why
                else:
                    captions[full] = caption
        for name in sorted(pictures - set(captions)):
            self.skipped.setdefault(shown(name), "no usable caption in the metadata")
        return captions

    def _beside(self, files: dict[str, str], pictures: set[str]) -> dict[str, Caption]:
        captions: dict[str, Caption] = {}
        for name in sorted(pictures):
            text = name[: -len(files[name])] + ".txt"
            folder = name.rpartition("/")[0].rpartition("/")[2]
            if text in files:
                with open(self.root / text, encoding="utf-8", errors="replace") as file:
                    caption = clean(file.read(4 * LONGEST_CAPTION))
            else:
                caption = clean(folder.replace("_", " ").replace("-", " "))
            if isinstance(caption, str) and caption:
                captions[name] = caption
            else:
                self.skipped[shown(name)] = (
                    "no caption: there is no metadata, no .txt beside it and no sub-folder"
                )
        return captions


def shown(name: str) -> str:
    """A file name as it may be printed and logged: no control characters, no bytes that are no text."""
    return "".join(c if c.isprintable() else "?" for c in name[:300])


def without_place(path: str) -> str:
    """What a model's card may say of a data path: a name on the Hub, else the last part of a path of this machine."""
    return path if path.startswith("hf:") and path.count(":") == 1 else Path(path).name or path


def _files(root: Path) -> Iterator[tuple[str, str]]:
    """(name relative to root with forward slashes, lower-case suffix) of every file; hidden ones are left out."""
    pending = [""]
    while pending:
        base = pending.pop()
        with os.scandir(root / base) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{base}/{entry.name}" if base else entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(name)
                elif entry.is_file():
                    yield name, os.path.splitext(entry.name)[1].lower()


def _rows(path: Path, name: str) -> Iterator[tuple[str, Any]]:
    """("file, line n", row) of a metadata file; a row that is no table row comes as a string saying why."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        if path.suffix == ".jsonl":
            for n, line in enumerate(file, 1):
                if line.strip():
                    try:
                        row = json.loads(line)
                    except (ValueError, RecursionError):
                        row = "it is no JSON"
                    yield f"{shown(name)}, line {n}", row
            return
        lines = csv.DictReader(line.replace("\0", "") for line in file)
        try:
            for row in lines:
                yield f"{shown(name)}, line {lines.line_num}", row
        except csv.Error as error:
            yield f"{shown(name)}, line {lines.line_num}", f"it is no table ({error})"


def _entry(row: Any) -> tuple[str, Caption, str]:
    """(file name, caption, what is wrong with the row or "")."""
    if not isinstance(row, dict):
        return "", "", row if isinstance(row, str) else "it is no object with file_name and text"
    name = next((row[k] for k in NAMES if k in row), None)
    if not isinstance(name, str) or not name:
        return "", "", "it has no file_name"
    name = name.removeprefix("./")
    column = next((k for k in CAPTIONS if k in row), None)
    if column is None:
        return name, "", "it has no text"
    caption = clean(row[column])
    if isinstance(caption, str) and not caption:
        return name, "", "its text is empty"
    if caption is None:
        return name, "", f"its text is {type(row[column]).__name__}, not a string"
    return name, caption, ""


def _absent(name: str) -> str:
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or name[1:2] == ":":
        return "it points outside the folder"
    return "no such picture in the folder"


def clean(caption: Any) -> Caption | None:
    """A caption as training uses it: one line, valid Unicode, not endless; None when it is no text.

    A list of strings stays a list without its empty ones.
    """
    if isinstance(caption, list):
        texts = [clean(c) for c in caption]
        if not all(isinstance(t, str) for t in texts):
            return None
        return [t for t in texts if t] or ""
    if not isinstance(caption, str):
        return None
    text = caption[:LONGEST_CAPTION].encode("utf-8", "replace").decode("utf-8")
    return " ".join(text.replace("\0", " ").split())
