"""Where things lie in a free scene: anywhere, of any size, leaning a little, and what the caption says still holds.

A plan says how many things there are and how they lie to one another; boxes never overlap. Things that are related lie
so plainly: their boxes are apart along the relation, and across it their middles are no further apart than a third
of the smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np

from trainer.scenes.spec import Layout, SceneSpec

MARGIN = 6  # pixels to the border of the picture
GAP = 2  # between boxes
TRIES = 40
SMALL, BIG = (56, 80), (124, 164)  # sides of "a small cat next to a big car"
ALIKE = 0.12  # how much things of one kind differ in size


@dataclass(frozen=True)
class Placed:
    """Things of a scene: sides, left top corners, and how far they lean (degrees), one entry each."""

    sizes: tuple[int, ...]
    places: tuple[tuple[int, int], ...]
    angles: tuple[int, ...]

    @classmethod
    def snapped(cls, layout: Layout) -> Placed:
        size, places = layout
        return cls((size,) * len(places), places, (0,) * len(places))


def _even(value: float) -> int:
    return 2 * round(value / 2)


def _between(rng: Random, low: float, high: float) -> float:
    return low + rng.random() * (high - low)


def free(
    rng: Random, spec: SceneSpec, groups: tuple[int, ...], relation: str | None, unlike: bool = False
) -> Placed | None:
    """Places for things in groups (how many of each kind, in their order), or None where there was no room.

    relation: how the first lies to the second; unlike: the first is small and the second big.
    """
    number = sum(groups)
    if unlike:
        sizes = [_even(_between(rng, *SMALL)), _even(_between(rng, *BIG))]
    else:
        low, high = spec.free_sizes[number - 1]
        sizes = []
        for count in groups:
            side = _between(rng, low, high)
            alike = [side * _between(rng, 1 - ALIKE, 1 + ALIKE) for _ in range(count)]
            sizes += [_even(min(max(s, low), high)) for s in alike]
    places = _apart(rng, spec, sizes) if relation is None else _related(rng, spec, sizes, relation)
    if places is None:
        return None
    angles = tuple(int(_between(rng, -spec.tilt, spec.tilt + 1)) if rng.random() < 0.5 else 0 for _ in sizes)
    return Placed(tuple(sizes), tuple(places), angles)


def _apart(rng: Random, spec: SceneSpec, sizes: list[int]) -> list[tuple[int, int]] | None:
    """Anywhere without overlap; lower places a little more often, where the ground is."""
    if len(sizes) > 2:
        return _in_rooms(rng, spec, sizes)
    for _ in range(TRIES):
        out: list[tuple[int, int]] = []
        for s in sizes:
            room = spec.image - s - 2 * MARGIN
            x, y = rng.random(), max(rng.random(), rng.random())
            out.append((MARGIN + int(x * room), MARGIN + int(y * room)))
        if _clear(sizes, out):
            return out
    return None


def _clear(sizes: list[int], places: list[tuple[int, int]]) -> bool:
    for i, (x, y) in enumerate(places):
        for j in range(i):
            u, v = places[j]
            apart_x = x >= u + sizes[j] + GAP or u >= x + sizes[i] + GAP
            if not apart_x and not (y >= v + sizes[j] + GAP or v >= y + sizes[i] + GAP):
                return False
    return True


def _in_rooms(rng: Random, spec: SceneSpec, sizes: list[int]) -> list[tuple[int, int]] | None:
    """Three to six things: two rows of rooms as wide as what stands in them, in any order."""
    order = list(range(len(sizes)))
    rng.shuffle(order)
    upper = len(sizes) // 2 + (len(sizes) % 2 and int(rng.random() * 2))
    out: list[tuple[int, int]] = [(0, 0)] * len(sizes)
    rows = [order[:upper], order[upper:]]
    heights = [max(sizes[i] for i in row) for row in rows]
    spare = spec.image - 2 * MARGIN - sum(heights) - GAP
    if spare < 0:
        return None
    top = MARGIN + int(rng.random() * spare * 0.6)
    for row, height in zip(rows, heights, strict=True):
        free_width = spec.image - 2 * MARGIN - sum(sizes[i] for i in row) - GAP * (len(row) - 1)
        if free_width < 0:
            return None
        cuts = sorted(rng.random() for _ in row)
        x, last = MARGIN, 0.0
        for i, cut in zip(row, cuts, strict=True):
            x += int((cut - last) * free_width)
            last = cut
            # their feet are nearly on one line
            y = top + height - sizes[i] - int(rng.random() * min(10, height - sizes[i] + 1))
            out[i] = (x, y)
            x += sizes[i] + GAP
        top += (
            height + GAP + int(rng.random() * max(0, spec.image - MARGIN - top - height - GAP - heights[1]))
        )
    return out


def _related(rng: Random, spec: SceneSpec, sizes: list[int], relation: str) -> list[tuple[int, int]] | None:
    a, b = sizes
    across = relation in ("left of", "right of")
    first_comes_first = relation in ("left of", "above")
    spare = spec.image - 2 * MARGIN - GAP - a - b
    if spare < 0:
        return None
    one, two = (a, b) if first_comes_first else (b, a)
    start = MARGIN + int(rng.random() * spare * 0.7)
    then = start + one + GAP + int(rng.random() * (spare - (start - MARGIN)))
    if across:
        # they stand on one floor: their feet are nearly level, or their middles where they float
        foot = spec.image - MARGIN - int(rng.random() * (spec.image - 2 * MARGIN - max(a, b)) * 0.75)
        shift = int(_between(rng, -0.16, 0.16) * min(a, b))
        feet = (foot, min(max(foot + shift, min(a, b) + MARGIN), spec.image - MARGIN))
        side = [(start, feet[0] - one), (then, max(MARGIN, feet[1] - two))]
    else:
        room = spec.image - 2 * MARGIN - max(a, b)
        middle = MARGIN + max(a, b) / 2 + rng.random() * room
        aside = _between(rng, -0.3, 0.3) * min(a, b)
        columns = [int(middle - one / 2), int(middle + aside - two / 2)]
        limit = [spec.image - MARGIN - one, spec.image - MARGIN - two]
        columns = [min(max(MARGIN, c), top) for c, top in zip(columns, limit, strict=True)]
        side = [(columns[0], start), (columns[1], then)]
    return side if first_comes_first else side[::-1]


def look_for(rng: Random, spec: SceneSpec, ground: int, placed: Placed) -> int:
    """A look of the ground in which the things stand on it, not before its sky, if it has such a look."""
    if spec.looks == 1:
        return 0
    foot = min(y + size for size, (_, y) in zip(placed.sizes, placed.places, strict=True))
    fits = np.flatnonzero(spec.horizon[ground] <= foot - 8)
    if not len(fits):
        highest = spec.horizon[ground].min()
        fits = np.flatnonzero(spec.horizon[ground] == highest)
    return int(fits[int(rng.random() * len(fits))])
