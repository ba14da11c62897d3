"""Tables of names and captions beside pictures: metadata.jsonl, metadata.csv and metadata.json.

A .json holds a list of objects like the lines of a .jsonl, or one object: name -> caption, or name -> such an object.
A .csv may be cut at commas, semicolons or tabs, as spreadsheets of different languages write it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.data.file_names import part_of
from trainer.data.texts import CAPTIONS, NAMES, Caption, caption_in, lost, shown, text_of

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.json")


def rows(path: Path, name: str) -> Iterator[tuple[str, Any]]:
    """("file, line n", row) of a metadata file; a row that is no table row comes as a string saying why."""
    try:
        text = text_of(path.read_bytes())
    except OSError as error:
        yield shown(name), f"it cannot be read ({error.strerror})"
        return
    read = {".jsonl": _lines, ".json": _objects}.get(path.suffix, _table)
    for where, row in read(text):
        yield f"{shown(name)}, {where}" if where else shown(name), row


def _lines(text: str) -> Iterator[tuple[str, Any]]:
    for n, line in enumerate(io.StringIO(text, newline=None), 1):
        if line.strip():
            yield f"line {n}", _json(line)


def _objects(text: str) -> Iterator[tuple[str, Any]]:
    found = _json(text)
    if isinstance(found, dict) and not any(k in found for k in CAPTIONS):
        found = [{"file_name": k, **(v if isinstance(v, dict) else {"text": v})} for k, v in found.items()]
    if not isinstance(found, list):
        yield "", found if isinstance(found, str) else "it is no list of objects with file_name and text"
        return
    for n, row in enumerate(found, 1):
        yield f"entry {n}", row


def _table(text: str) -> Iterator[tuple[str, Any]]:
    first, told = 0, re.match(r"sep=(.)[\r\n]+", text)  # a line that Excel writes for itself
    if told:
        text, first = text[told.end() :], 1
    head = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]
    cut = told[1] if told else max(",;\t", key=lambda c: (head.count(c), c == ","))
    lines = csv.DictReader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=cut)
    try:
        for row in lines:
            yield f"line {first + lines.line_num}", row
    except csv.Error as error:
        yield f"line {first + lines.line_num}", f"it is no table ({error})"


def _json(text: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return "it is no JSON"
    return [] if isinstance(found, str) else found


def entry(row: Any) -> tuple[str, Caption, str]:
    """(file name, caption, what is wrong with the row or "")."""
    if not isinstance(row, dict):
        return "", "", row if isinstance(row, str) else "it is no object with file_name and text"
    if not any(k in row for k in NAMES):  # " File_Name" of a spreadsheet
        row = {k.strip().lower() if isinstance(k, str) else k: v for k, v in row.items()}
    name = next((row[k] for k in NAMES if k in row), None)
    if not isinstance(name, str) or not name.strip():
        return "", "", "it has no file_name"
    if "\ufffd" in name:
        return name, "", lost(name).replace("its text is", "its file_name is")
    try:
        return name, caption_in(row), ""
    except ValueError as error:
        return name, "", str(error)


def part(row: Any) -> str:
    """What the column `split` of a row says: see `part_of`."""
    said = row.get("split") if isinstance(row, dict) else None
    return part_of(said) if isinstance(said, str) else ""
