"""Words as they are spelt: plurals, articles, and how far one word is from another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher


def plural(name: str) -> str:
    """The regular English plural of a name; of its first noun in "slice of pizza"."""
    head, of, tail = name.partition(" of ")
    if re.search(r"(s|x|z|ch|sh)$", head):
        head += "es"
    elif re.search(r"[^aeiou]y$", head):
        head = head[:-1] + "ies"
    else:
        head += "s"
    return head + of + tail


def article(noun: str) -> str:
    """'a' or 'an' before a noun, by sound: an umbrella, a unicorn, an hourglass, an x-ray."""
    first = noun[0].lower()
    if noun.lower().startswith(("uni", "eu", "one", "use", "ufo")):
        return "a"  # begins with the sound of y or w
    if noun.lower().startswith(("hour", "8", "x-ray", "suv")):
        return "an"
    return "an" if first in "aeiou" else "a"


def singular(word: str) -> str:
    """A guess at what a regular English plural is the plural of."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and re.search(r"(s|x|z|ch|sh)es$", word):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def distance(a: str, b: str, most: int) -> int:
    """Letters added, left out, changed or swapped with their neighbour to turn a into b; most + 1 if more.

    Optimal string alignment (Damerau 1964), cut off early.
    """
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        if min(row) > most:
            return most + 1
        before, last = last, row
    return min(last[-1], most + 1)


def spelt_like(word: str, forms: Mapping[str, str]) -> list[str]:
    """Names whose form (form -> name) is spelt almost like `word`, or begins with it, the closest first."""
    if len(word) < 3:
        return []
    most = 1 if len(word) <= 5 else 2 if len(word) <= 8 else 3
    scored = []
    for form, name in forms.items():
        joined = form.replace(" ", "")
        part = max(form.split(), key=len)
        gap = min(distance(word, joined, most), distance(word, part, most) + 0.5)
        if gap <= most:
            scored.append((gap, name))
        elif len(word) >= 4 and part.startswith(word):
            scored.append((most + 1.5, name))
        elif len(word) >= 6 and part[0] == word[0] and SequenceMatcher(None, word, part).ratio() >= 0.74:
            scored.append((most + 2, name))  # elefante
    return [name for _, name in sorted(scored, key=lambda s: s[0])]
