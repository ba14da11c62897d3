"""A folder of captioned pictures, in the layout that Hugging Face calls an image folder.

    my_pictures/
        metadata.jsonl     {"file_name": "red/cup.png", "text": "a red cup"}      one object a line
        metadata.csv       file_name,text                                          or a table
        red/cup.png

A metadata.json is read as well (see trainer/data/metadata.py). Captions stand in the column `text`, `caption` or
`prompt`, in any encoding of trainer/data/texts.py; a list of strings offers several. Without metadata a caption is
looked for in `cup.txt` beside the picture, else the name of its sub-folder is the caption. Names are relative to the
metadata file, and may be written in other ways that mean the same file.
Of `train/` and `test/` side by side only the first is used.
What cannot be used is skipped, with its reason.
"""

from __future__ import annotations

import os
from pathlib import Path

from mdm_core.images.pictures import SUFFIXES, unread
from mdm_core.paths import located
from trainer.data import metadata
from trainer.data.file_names import Names, folders_apart, same_name
from trainer.data.texts import LONGEST_CAPTION, Caption, clean, shown, text_of, usable

__all__ = ["LONGEST_CAPTION", "Caption", "FolderRecords", "clean", "passed_over", "shown", "without_place"]


def passed_over(suffix: str) -> str | None:
    """Why files with this suffix are passed over although they are pictures; None for what is read, or no picture."""
    why = unread(suffix)
    return f"{suffix} is no suffix that is read ({why})" if why else None


class FolderRecords:
    """Pictures and captions of a folder, sorted by name. Nothing is decoded until it is read.

    names: list of file names relative to the root; captions: str or list of str each;
    skipped: name -> why, for what the metadata or the folder hold in vain.
    """

    def __init__(self, root: str | Path):
        """ValueError when the folder is missing or holds no captioned picture."""
        self.root = located(root)
        if not self.root.is_dir():
            raise ValueError(f"{self.root} is no folder: give one with pictures and a metadata.jsonl")
        self.skipped: dict[str, str] = {}
        files = self._files()  # relative name -> suffix, lower case
        pictures = {name for name, suffix in files.items() if suffix in SUFFIXES}
        tables = [n for n in files if n.rsplit("/", 1)[-1].lower() in metadata.METADATA]
        captions = self._from_metadata(tables, files, pictures) if tables else self._beside(files, pictures)
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

    def _files(self) -> dict[str, str]:
        """Name relative to root with forward slashes -> lower-case suffix of every file; hidden ones are left out.

        What is a picture to a person but not read, and folders that are not looked into, go to `skipped`.
        """
        files: dict[str, str] = {}
        folders, shut = list_folder(self.root, files)
        self.skipped |= {shown(name): why for name, why in shut.items()}
        self._apart = folders_apart(folders)
        self.skipped |= {shown(name) + "/": why for name, why in self._apart.items()}
        return {name: suffix for name, suffix in files.items() if not self._held_out(name)}

    def _held_out(self, name: str) -> bool:
        return any(name.startswith(folder + "/") for folder in self._apart)

    def _from_metadata(
        self, tables: list[str], files: dict[str, str], pictures: set[str]
    ) -> dict[str, Caption]:
        captions: dict[str, Caption] = {}
        told: set[str] = set()  # pictures whose row says why they are not used
        lookup = Names(files)
        rows = [(table, *row) for table in sorted(tables) for row in metadata.rows(self.root / table, table)]
        parts = {metadata.part(row) for *_, row in rows}
        apart = {"train", "held out"} <= parts
        for table, where, row in rows:
            base = table.rpartition("/")[0]
            name, caption, why = metadata.entry(row)
            full = None
            if name:
                full, unclear = lookup.find(f"{base}/{name}" if base else name)
                full = None if _outside(name) else full
            if not why:
                if apart and metadata.part(row) == "held out":
                    why = "its split is one to test on: only the rows of the training split are used"
                    told.add(full or "")
                elif full is None:
                    why = self._absent(f"{base}/{name}" if base else name, name, unclear)
                elif full not in pictures:
                    suffix = files[full]
                    how = passed_over(suffix) or f"{suffix or 'a name without one'} is no suffix that is read"
                    why = f"it is there, but {how}"
                    told.add(full)
                elif full in captions:
                    why = "listed twice, the first line counts"
            if why or full is None:
                self.skipped[f"{where} ({shown(name)})" if name else where] = why
            else:
                captions[full] = caption
        for name in sorted(pictures - set(captions) - told):
            self.skipped.setdefault(shown(name), "no usable caption in the metadata")
        for name in sorted(files.keys() - told):
            if no := passed_over(files[name]):
                self.skipped.setdefault(shown(name), no)
        return captions

    def _absent(self, full: str, name: str, unclear: str) -> str:
        if _outside(name):
            return "it points outside the folder"
        if unclear:
            return unclear
        folder = next((f for f in self._apart if same_name(full).startswith(same_name(f) + "/")), None)
        if folder:
            return f"it lies in {shown(folder)}/, a part to test on: only the part to train on is used"
        return "no such picture in the folder"

    def _beside(self, files: dict[str, str], pictures: set[str]) -> dict[str, Caption]:
        captions: dict[str, Caption] = {}
        lookup = Names(n for n, suffix in files.items() if suffix == ".txt")
        for name in sorted(pictures):
            text, why = lookup.find(name[: len(name) - len(files[name])] + ".txt")
            folder = name.rpartition("/")[0].rpartition("/")[2]
            try:
                if why:
                    raise ValueError(f"its .txt is not clear: {why}")
                captions[name] = (
                    self._text(text) if text else usable(folder.replace("_", " ").replace("-", " "))
                )
            except ValueError as error:
                nothing = text is None and not why and not folder
                self.skipped[shown(name)] = (
                    "no caption: there is no metadata, no .txt beside it and no sub-folder"
                    if nothing
                    else f"no caption: {error}"
                )
        for name in sorted(files):
            if no := passed_over(files[name]):
                self.skipped[shown(name)] = no
        return captions

    def _text(self, name: str) -> Caption:
        """The caption in a .txt; ValueError says why there is none."""
        most = 4 * LONGEST_CAPTION + 4  # bytes
        try:
            with open(self.root / name, "rb") as file:
                raw = file.read(most)
        except OSError as error:
            raise ValueError(f"its .txt cannot be read ({error.strerror})") from error
        return usable(text_of(raw, cut=len(raw) == most)[:LONGEST_CAPTION])


def list_folder(root: Path, files: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Fills `files` (name relative to root -> lower-case suffix); (its sub-folders, name -> why it was not looked at).

    Links to folders are not followed: they may lead in circles.
    """
    folders, shut, pending = [], {}, [""]
    while pending:
        base = pending.pop()
        try:
            with os.scandir(root / base) as scanned:
                entries = list(scanned)
        except OSError as error:
            shut[f"{base}/" if base else str(root)] = f"the folder cannot be opened ({error.strerror})"
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{base}/{entry.name}" if base else entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                    pending.append(name)
                elif entry.is_file():
                    files[name] = os.path.splitext(entry.name)[1].lower()
                    if files[name] == ".tar":
                        shut[name] = (
                            "it is a tar shard within a folder of pictures: give its own path to use it"
                        )
                elif entry.is_dir():
                    shut[name] = (
                        "it is a link to a folder, and links are not followed: copy the pictures here"
                    )
                elif entry.is_symlink():
                    shut[name] = "it is a link that leads nowhere"
            except OSError as error:
                shut[name] = f"it cannot be looked at ({error.strerror})"
    return folders, shut


def _outside(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or name[1:2] == ":"


def without_place(path: str) -> str:
    """What a model's card may say of a data path: a name on the Hub, else the last part of a path of this machine."""
    return path if path.startswith("hf:") and path.count(":") == 1 else Path(path).name or path
