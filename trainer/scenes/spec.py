"""A world of scenes as values: how large its pictures are, what stands in them and where, and on which grounds.

Everything that draws, reads or judges scenes takes its measures from a `SceneSpec`. Two are known: `EMOJI_128`, which
the shipped weights, the judge and EmojiEval were made with, and `WORLD_256`.

Snapped layouts are written in cells of a lattice of 16 cells a side, so that one table serves every picture size. A
free scene takes a layout's plan (how many things, which lies where) and places it anywhere:
`trainer/scenes/drawing/places.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from trainer.scenes.colours import BACKGROUNDS, CLASHES, COLOURS, IMAGE, PATCH, Background
from trainer.scenes.drawing.grounds import LOOKS, WORLD_GROUNDS, WORLD_HORIZONS

LATTICE = 16  # cells a side of the lattice that snapped scenes stand on
Cells = tuple[float, tuple[tuple[float, float], ...]]  # side of the sprites, left top corners
Layout = tuple[int, tuple[tuple[int, int], ...]]  # the same in pixels

ONE: tuple[Cells, ...] = (
    *[(12, ((2, 2),))] * 6,
    *[(12, ((x, y),)) for x in (1, 2, 3) for y in (1, 2, 3)],
    *[(9, ((x, y),)) for x in (1, 3, 6) for y in (1, 3, 6)],
)
BESIDE: tuple[Cells, ...] = tuple((7, ((a, y), (b, y))) for a, b in ((1, 8), (0, 9), (1, 9)) for y in (4, 5))
STACKED: tuple[Cells, ...] = tuple((7, ((x, a), (x, b))) for a, b in ((1, 8), (0, 9), (1, 9)) for x in (4, 5))
THREE: tuple[Cells, ...] = (
    (7, ((5, 1), (1, 8), (8, 8))),
    (7, ((1, 1), (8, 1), (5, 8))),
    (6, ((5, 2), (1, 8), (9, 8))),
    (6, ((1, 2), (9, 2), (5, 8))),
    (6, ((2, 1), (8, 1), (5, 8))),
)
FOUR: tuple[Cells, ...] = (
    (7, ((1, 1), (8, 1), (1, 8), (8, 8))),
    (7, ((0, 0), (9, 0), (0, 9), (9, 9))),
    (6, ((2, 2), (8, 2), (2, 8), (8, 8))),
    (6, ((1, 1), (9, 1), (1, 9), (9, 9))),
)
FIVE: tuple[Cells, ...] = (
    (4, ((1, 3), (6, 3), (11, 3), (3, 9), (9, 9))),
    (4, ((3, 3), (9, 3), (1, 9), (6, 9), (11, 9))),
    (5, ((0, 2), (5.5, 2), (11, 2), (2, 9), (9, 9))),
    (5, ((2, 2), (9, 2), (0, 9), (5.5, 9), (11, 9))),
)
SIX: tuple[Cells, ...] = (
    (4, tuple((x, y) for y in (3, 9) for x in (1, 6, 11))),
    (5, tuple((x, y) for y in (2, 9) for x in (0, 5.5, 11))),
)
TWO_SAME: tuple[Cells, ...] = (*BESIDE, *STACKED, (7, ((1, 1), (8, 8))), (7, ((8, 1), (1, 8))))
COUNTS: tuple[tuple[Cells, ...], ...] = (ONE, TWO_SAME, THREE, FOUR, FIVE, SIX)

EMOJI_KINDS = {
    "single_object": 0.34,
    "colors": 0.12,
    "two_object": 0.06,
    "position": 0.16,
    "counting": 0.16,
    "color_attr": 0.16,
}
WORLD_KINDS = {
    "single_object": 0.28,
    "colors": 0.1,
    "two_object": 0.06,
    "position": 0.16,
    "counting": 0.12,
    "color_attr": 0.11,
    # five or six of a kind; a few of two kinds; a small thing beside a big one
    "many": 0.05,
    "two_counts": 0.07,
    "sizes": 0.05,
}


@dataclass(frozen=True)
class SceneSpec:
    """One world of scenes. Lengths are pixels where nothing else is said."""

    name: str
    image: int  # a side of a picture
    patch: int  # a side of what one token stands for
    slots: int  # most things in a scene; as many can be counted
    kinds: Mapping[str, float]  # kind of scene -> share of the train split
    grounds: tuple[Background, ...]
    contrast: float  # RGB distance between a sprite's mean colour and its ground, at least
    clashes: Mapping[str, frozenset[str]]  # colour -> grounds on which it would be hard to see
    styles: tuple[str, ...] | None = None  # of the atlas, as far as it has them; None: all that it has
    # styles and their weights, if not all are drawn alike often
    style_weights: tuple[tuple[str, float], ...] = ()
    snapped: float = 1.0  # share of the scenes whose things stand on the lattice
    # things in a free scene -> their sides, from and to
    free_sizes: tuple[tuple[int, int], ...] = ()
    tilt: int = 0  # degrees by which things of a free scene may lean
    shadows: bool = False  # things that stand on the ground touch it with a soft shadow
    looks: int = 1  # pictures of one ground: other horizons, other clouds
    # ground -> height of its horizon in each look, as a share of the picture
    horizons: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    atlas: str = "atlas"  # name of the shipped folder of its sprites, see `mdm_core.paths.shipped`

    @property
    def held_out_kinds(self) -> tuple[str, ...]:
        """Kinds of which some combinations are kept from training: one object alone cannot be held out."""
        return tuple(k for k in self.kinds if k != "single_object")

    @property
    def grid(self) -> int:
        """Tokens a side."""
        return self.image // self.patch

    @property
    def cell(self) -> int:
        """Pixels a side of a cell of the lattice."""
        return self.image // LATTICE

    def styles_in(self, known: list[str]) -> list[str]:
        """The world's styles that an atlas has, or all of the atlas where the world names none of them."""
        return [s for s in self.styles or () if s in known] or list(known)

    def pixels(self, cells: tuple[Cells, ...]) -> list[Layout]:
        """Layouts in cells -> in pixels."""
        c = self.cell
        return [(int(size * c), tuple((int(x * c), int(y * c)) for x, y in at)) for size, at in cells]

    @cached_property
    def one(self) -> list[Layout]:
        return self.pixels(ONE)

    @cached_property
    def beside(self) -> list[Layout]:
        return self.pixels(BESIDE)

    @cached_property
    def stacked(self) -> list[Layout]:
        return self.pixels(STACKED)

    @cached_property
    def counts(self) -> dict[int, list[Layout]]:
        """Number of things -> layouts for so many."""
        return {n: self.pixels(cells) for n, cells in enumerate(COUNTS[: self.slots], start=1)}

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Sides of snapped sprites, the largest first."""
        every = [*self.one, *self.beside, *self.stacked, *(x for some in self.counts.values() for x in some)]
        return tuple(sorted({size for size, _ in every}, reverse=True))

    @cached_property
    def horizon(self) -> np.ndarray:
        """int64 [grounds, looks]: the row below which things stand on the ground; 0 where that is everywhere."""
        out = np.zeros((len(self.grounds), self.looks), np.int64)
        for row, ground in zip(out, self.grounds, strict=True):
            row[:] = np.round(np.array(self.horizons.get(ground.name, (0.0,) * self.looks)) * self.image)
        return out


def _clashes(grounds: tuple[Background, ...], least: float) -> dict[str, frozenset[str]]:
    """Grounds of a colour's own name, and those that are less than `least` away from it in RGB."""
    out = {}
    for colour, (_, base, _) in COLOURS.items():
        near = [g.name for g in grounds if np.linalg.norm(np.subtract(base, g.rgb)) < least]
        out[colour] = frozenset(near) | {g.name for g in grounds if colour in g.name.split()}
    return out


EMOJI_128 = SceneSpec(
    name="emoji_128",
    image=IMAGE,
    patch=PATCH,
    slots=4,
    kinds=EMOJI_KINDS,
    grounds=BACKGROUNDS,
    contrast=64.0,
    clashes={colour: frozenset(names) for colour, names in CLASHES.items()},
)
WORLD_256 = SceneSpec(
    name="world_256",
    image=256,
    patch=8,
    slots=6,
    kinds=WORLD_KINDS,
    grounds=WORLD_GROUNDS,
    contrast=64.0,
    clashes=_clashes(WORLD_GROUNDS, 96.0),
    styles=("3d", "flat", "cartoon", "simple", "glossy", "bright"),
    style_weights=(("3d", 2.5),),
    snapped=0.3,
    free_sizes=((112, 190), (84, 122), (76, 112), (68, 100), (60, 84), (56, 78)),
    tilt=10,
    shadows=True,
    looks=LOOKS,
    horizons=WORLD_HORIZONS,
    atlas="atlas_256",
)
SPECS = {spec.name: spec for spec in (EMOJI_128, WORLD_256)}


def scene_spec(name: str) -> SceneSpec:
    """The world of that name. Raises ValueError for an unknown one."""
    if name not in SPECS:
        raise ValueError(f"There is no world of scenes called {name!r}: choose from {', '.join(SPECS)}.")
    return SPECS[name]
