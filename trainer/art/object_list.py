"""The curated list of an atlas: what is drawn, by which names, in the order in which a model learns it.

One object a line, `|` between the fields; a line that begins with `#` is a comment:

    code point | name | plural (empty: regular) | category | synonyms | broader words

A synonym names this object and no other ("~" before one that takes no article: "~corn"). A broader word is what
several objects are ("hat", "insect"): it never stands in a caption, it only leads a visitor from a word to the
objects it may mean. Lists of five fields have no broader words.
"""

from __future__ import annotations

import re
from pathlib import Path

from mdm_core.explain.spelling import plural as regular_plural


def read_objects(path: Path) -> list[dict]:
    """Parse the curated list. Raises ValueError for a malformed line or a word that names two objects."""
    objects: list[dict] = []
    seen: dict[str, str] = {}
    codes: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        fields = [f.strip() for f in line.split("|")]
        if len(fields) not in (5, 6):
            raise ValueError(f"Line has {len(fields)} fields, wanted 5 or 6: {line}")
        hexcode, name, plural, category, others = fields[:5]
        if not (re.fullmatch(r"[0-9a-f]{4,5}(-[0-9a-f]{4,5})*", hexcode) and name and category):
            raise ValueError(f"Line lacks a code point, a name or a category: {line}")
        if hexcode in codes:
            raise ValueError(f"{hexcode} is listed twice, as {codes[hexcode]} and as {name}.")
        codes[hexcode] = name
        synonyms = _words(others)
        plural = plural or regular_plural(name)
        for word in (name, plural, *synonyms):
            word = word.lstrip("~")
            if seen.get(word, name) != name:
                raise ValueError(f"{word!r} names both {seen[word]} and {name}.")
            seen[word] = name
        obj = {"code": hexcode, "name": name, "plural": plural, "category": category, "synonyms": synonyms}
        objects.append(obj | ({"broader": _words(fields[5])} if len(fields) == 6 else {}))
    _check_broader(objects, seen)
    return objects


def _check_broader(objects: list[dict], owners: dict[str, str]) -> None:
    """A broader word is shared: by two objects or more, the one that bears it as its own name among them ("bird").

    owners: every name, plural and synonym -> name of its object. Raises ValueError for a broader word that another
    object's plural or synonym is, or that leads to one object alone.
    """
    shared: dict[str, set[str]] = {}
    for obj in objects:
        for word in obj.get("broader", ()):
            shared.setdefault(word, set()).add(obj["name"])
    for word, names in shared.items():
        owner = owners.get(word)
        if owner not in (None, word):
            raise ValueError(f"{word!r} is broader than {', '.join(sorted(names))} and names {owner}.")
        if len(names | ({owner} if owner else set())) < 2:
            raise ValueError(f"{word!r} is broader than {', '.join(names)} alone: make it a synonym.")


def read_left_out(path: Path) -> dict[str, str]:
    """Code point -> why it is no object of the list. Raises ValueError for a malformed line."""
    reasons = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            fields = [f.strip() for f in line.split("|")]
            if len(fields) != 3 or fields[0] in reasons:
                raise ValueError(f"Wanted: code point | what it shows | reason, each code once: {line}")
            reasons[fields[0]] = fields[2]
    return reasons


def _words(field: str) -> list[str]:
    return [word.strip() for word in field.split(",") if word.strip()]
