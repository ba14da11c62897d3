"""Which combinations training must never show: decided by hash, so that processes agree without a file."""

from __future__ import annotations

import hashlib
from functools import cache

SHARE = 10  # one combination in ten is held out
MIRROR = {"right of": "left of", "below": "above"}


def is_held_out(kind: str, *names: str | int) -> bool:
    """True for the 10 % of combinations kept for evaluation.

    kind "pair":     (object, object), in any order
    kind "colour":   (object, colour)
    kind "relation": (A, relation, B); "A right of B" is the same as "B left of A"
    kind "count":    (object, number); one of an object is never held out
    Raises ValueError for another kind.
    """
    return _held_out(kind, *names)


@cache
def _held_out(kind: str, *names: str | int) -> bool:
    if kind == "pair":
        names = tuple(sorted(map(str, names)))
        if names[0] == names[1]:
            return False
    elif kind == "relation":
        first, relation, second = names
        if relation in MIRROR:
            names = (second, MIRROR[str(relation)], first)
    elif kind == "count":
        if int(names[1]) == 1:
            return False
    elif kind != "colour":
        raise ValueError(f"Unknown kind of combination {kind!r}: use pair, colour, relation or count.")
    digest = hashlib.sha256("|".join((kind, *map(str, names))).encode()).digest()
    return int.from_bytes(digest[:8], "big") % SHARE == 0
