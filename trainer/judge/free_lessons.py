"""Lessons for worlds whose things lie anywhere: rooms of any width, sizes within them, things that lean.

A scene has none to six rooms in one row or two, perhaps turned into columns; one thing stands somewhere in each. That
is freer than the scenes of `trainer/scenes/drawing/places.py` in sizes, places and tilt, and holds all of their plans:
a small thing beside a big one, feet on one line, five and six things.

Legend: B scenes, S = 6 slots.
"""

from __future__ import annotations

import numpy as np

from trainer.judge.lessons import Layouts, S, SceneMaker
from trainer.scenes.atlas import Atlas
from trainer.scenes.spec import SceneSpec

# (share, rooms of the first row, rooms of the second, by how much cuts between rooms may be off, in shares of a room)
ROWS = (
    (0.02, 0, 0, 0.0),
    (0.28, 1, 0, 0.0),
    (0.30, 2, 0, 0.42),
    (0.07, 2, 1, 0.25),
    (0.07, 1, 2, 0.25),
    (0.02, 3, 0, 0.15),
    (0.09, 2, 2, 0.2),
    (0.04, 3, 2, 0.12),
    (0.04, 2, 3, 0.12),
    (0.07, 3, 3, 0.12),
)
SMALLEST, ALONE = 0.1875, 0.34  # of the picture: sides of the smallest thing, and of one that is alone
ALIKE = 0.5  # share of the scenes whose things are of about one size
SNAPPED = 0.35  # share of the scenes that lie on the lattice
LEAN = 1.25  # times the world's own tilt


class FreeSceneMaker(SceneMaker):
    """`SceneMaker` for a world of any spec. The same seed gives the same scenes."""

    def __init__(
        self,
        atlas: Atlas,
        n_objects: int,
        styles: list[str],
        shares: list[float],
        seed: int,
        spec: SceneSpec,
    ):
        self.spec = spec
        super().__init__(atlas, n_objects, styles, shares, seed)

    def _layouts(self, b: int) -> Layouts:
        rng, spec = self.rng, self.spec
        room, used = self._rooms(b)
        count = used.sum(1, keepdims=True)
        # a thing is no wider than its room, and no larger than the sprites of the world
        high = np.minimum(room[..., 2:].min(-1), spec.sizes[0])
        low = np.minimum(np.where(count == 1, ALONE, SMALLEST) * spec.image, high)
        of_scene = rng.random((b, 1)) + (rng.random((b, S)) - 0.5) * 0.2
        share = np.where(rng.random((b, 1)) < ALIKE, of_scene, rng.random((b, S))).clip(0, 1)
        size = low + (high - low) * share
        at_random = rng.random((b, S, 2))
        snapped = rng.random(b) < SNAPPED
        # sides of the lattice, the largest that fits, on half of its lines; elsewhere even numbers
        lattice = np.array(spec.sizes[::-1])
        fits = lattice[(lattice <= size[..., None]).sum(-1).clip(1) - 1]
        size = np.where(snapped[:, None] & (fits <= high), fits, 2 * np.floor(size / 2)).astype(np.int64)
        free = np.maximum(room[..., 2:] - size[..., None], 0)
        xy = room[..., :2] + at_random * free
        xy = np.where(snapped[:, None, None], np.round(xy / spec.patch) * spec.patch, xy)
        xy = np.clip(np.round(xy), np.ceil(room[..., :2]), np.floor(room[..., :2] + free)).astype(np.int64)
        leans = (rng.random((b, S)) < 0.5) & ~snapped[:, None]
        tilt = rng.integers(-round(LEAN * spec.tilt), round(LEAN * spec.tilt) + 1, (b, S))
        return size, used, xy, np.where(leans, tilt, 0), rng.integers(0, spec.looks, b)

    def _rooms(self, b: int) -> tuple[np.ndarray, np.ndarray]:
        """Rooms [B, S, 4] (left, top, width, height), and which of them there are [B, S]."""
        rng, image = self.rng, float(self.spec.image)
        plan = rng.choice(len(ROWS), b, p=[row[0] for row in ROWS])
        off, cut = rng.random((b, 2, 2)) * 2 - 1, rng.random(b) * 2 - 1
        room, used = np.zeros((b, S, 4)), np.zeros((b, S), bool)
        for k, (_, upper, lower, loose) in enumerate(ROWS):
            rows = np.flatnonzero(plan == k)
            height = image / 2 * (1 + loose * cut[rows]) if lower else np.full(len(rows), image)
            first = 0
            for line, (number, top, high) in enumerate(
                ((upper, np.zeros(len(rows)), height), (lower, height, image - height))
            ):
                edge = np.zeros((len(rows), number + 1))
                edge[:, -1] = image
                for i in range(1, number):
                    edge[:, i] = image / number * (i + loose * off[rows, line, i - 1])
                for i in range(number):
                    left, wide = edge[:, i], edge[:, i + 1] - edge[:, i]
                    room[rows, first + i] = np.stack([left, top, wide, high], 1)
                used[rows, first : first + number] = True
                first += number
        turned = rng.random(b) < 0.5
        room[turned] = room[turned][..., [1, 0, 3, 2]]
        return room, used
