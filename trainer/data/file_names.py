"""Names of files as people mean them: the same name written in other ways, and folders named as parts of a data set."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePath

TRAIN = ("train", "training", "trn")
HELD_OUT = ("test", "testing", "tst", "val", "valid", "validation", "dev", "eval", "evaluation")


def same_name(name: str, fold: bool = False) -> str:
    """A relative name in one of all the forms that mean it.

    One Unicode form, forward slashes, no `./`, no doubled slash, no space around a part, the suffix in lower case;
    fold: everything in lower case.
    """
    if any("\udc80" <= c <= "\udcff" for c in name):  # bytes that are no UTF-8, as older Windows packed them
        name = name.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    parts = (p.strip() for p in unicodedata.normalize("NFC", name).replace("\\", "/").split("/"))
    name = "/".join(p for p in parts if p not in ("", "."))
    if fold:
        return unicodedata.normalize("NFC", name.casefold())
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{dot}{suffix.lower()}" if dot and "/" not in suffix else name


class Names:
    """Finds files of a folder by names that others have written down."""

    def __init__(self, files: Iterable[str]):
        self.files = set(files)
        self._forms: dict[bool, dict[str, list[str]]] = {}

    def find(self, name: str) -> tuple[str | None, str]:
        """(the file that is meant, "") or (None, why none can be told); as it is written counts first."""
        if name in self.files:
            return name, ""
        for fold in (False, True):
            if fold not in self._forms:
                forms = self._forms[fold] = {}
                for file in self.files:
                    forms.setdefault(same_name(file, fold), []).append(file)
            found = sorted(self._forms[fold].get(same_name(name, fold), ()))
            if len(found) == 1:
                return found[0], ""
            if found:
                return None, f"{len(found)} files could be meant: " + " and ".join(map(repr, found[:3]))
        return None, ""


def part_of(name: str) -> str:
    """ "train", "held out" or "": what a name says of its part in a data set, by its first word that says so."""
    for word in re.split(r"[^a-z]+", unicodedata.normalize("NFC", name).casefold()):
        if word in TRAIN or word in HELD_OUT:
            return "train" if word in TRAIN else "held out"
    return ""


def kept_apart(names: Iterable[str]) -> dict[str, str]:
    """name -> why it is left out: those that are named as held-out parts where others are named as training parts."""
    parts = {name: part_of(PurePath(name).name) for name in names}
    train = sorted(name for name, part in parts.items() if part == "train")
    if not train:
        return {}
    first = PurePath(train[0]).name
    why = f"it is named as a part to test on beside {first}: only that is trained on; give its own path to use it"
    return {name: why for name, part in parts.items() if part == "held out"}


def folders_apart(folders: Iterable[str]) -> dict[str, str]:
    """`kept_apart` for sub-folders (names relative to the root).

    Classes may be called "train station" and "test tube": names count that differ in that word only, as train and
    test, train2017 and val2017, or Train_images and Test_images.
    """
    beside: dict[tuple[str, str], list[str]] = {}
    for folder in folders:
        base, _, last = folder.rpartition("/")
        words = re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", last).casefold())
        if part_of(last):
            others = " ".join("*" if w in TRAIN or w in HELD_OUT else w for w in words)
            beside.setdefault((base, others), []).append(folder)
    return {name: why for group in beside.values() for name, why in kept_apart(group).items()}


def parents(names: Iterable[str]) -> set[str]:
    """Every folder that these files lie in."""
    found: set[str] = set()
    for name in names:
        while (name := name.rpartition("/")[0]) and name not in found:
            found.add(name)
    return found
