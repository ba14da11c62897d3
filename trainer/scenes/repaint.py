"""Pairs of scenes that differ in one thing, with the region in between: what repainting is learnt from and judged by.

The caption is that of the result. Nothing else changes: ground, style, and the other things stay where they are.
A thing's shadow belongs to it, so that the region reaches a little below and to the right of its box.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import COLOUR_NAMES
from trainer.scenes.generator import SceneGenerator
from trainer.scenes.scene import Scene, SceneBatch, SceneObject
from trainer.scenes.spec import SceneSpec
from trainer.scenes.splits import is_held_out
from trainer.settings.evaluate import KINDS as KINDS

SHADOW = (
    0.16,
    0.2,
    0.22,
)  # of a thing's side: how far its shadow reaches beyond its box, left, right and below
LEAN = 0.1  # and how far its corners and its shadow do, if it leans
TRIES = 1000
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; the last two just outside


@dataclass(frozen=True)
class Repaint:
    """One task: before, with `region` masked, is to become after."""

    kind: str
    before: Scene
    after: Scene
    region: Box


def region_of(thing: SceneObject, spec: SceneSpec) -> Box:
    """The pixels that a thing and its shadow may cover, within the picture."""
    x, y, size, angle = (np.array(v) for v in (thing.x, thing.y, thing.size, thing.angle))
    corners = _boxes(x, y, size, angle, spec)
    left, top, right, bottom = corners.tolist()
    return left, top, right, bottom


def regions_of(batch: SceneBatch, spec: SceneSpec) -> np.ndarray:
    """Boxes of all things of a batch, as `region_of`: int64 [B, S, 4]; all zero where a slot is empty."""
    angle = np.zeros_like(batch.size) if batch.angle is None else batch.angle
    corners = _boxes(batch.xy[..., 0], batch.xy[..., 1], batch.size, angle, spec)
    return corners * (batch.sprite >= 0)[..., None]


def _boxes(x: np.ndarray, y: np.ndarray, size: np.ndarray, angle: np.ndarray, spec: SceneSpec) -> np.ndarray:
    lean = np.where(angle != 0, np.ceil(size * LEAN), 0)
    left, right, below = (np.ceil(size * share * spec.shadows) for share in SHADOW)
    corners = (x - left - lean, y - lean, x + size + right + lean, y + size + below + lean)
    return np.clip(np.stack(corners, -1), 0, spec.image).astype(np.int64)


class Repainter:
    """Draws repaint tasks from scenes of a generator's world, objects, styles and split; the same for the same seed."""

    def __init__(self, atlas: Atlas, seed: int = 0, **wanted: Any) -> None:
        def scenes(**kinds: float) -> SceneGenerator:
            return SceneGenerator(atlas, seed=f"repaint-{seed}", kinds=kinds, **wanted)

        self._pairs = scenes(two_object=1.0)
        self._coloured = scenes(colors=1.0)
        self._rng = Random(f"chisel-repaint-{seed}")
        self.held_out = self._pairs.held_out

    def draw(self, kind: str) -> Repaint:
        """The next task of a kind. Raises ValueError for an unknown kind, or where few objects allow none."""
        if kind not in KINDS:
            raise ValueError(f"Unknown kind of repainting {kind!r}: choose from {', '.join(KINDS)}.")
        for _ in range(TRIES):
            task = self._recolour() if kind == "recolour" else self._exchange(kind)
            if task is not None:
                return task
        raise ValueError(f"Found nothing to {kind}: use more objects.")

    def _exchange(self, kind: str) -> Repaint | None:
        scene, spec = self._pairs.sample(), self._pairs.spec
        slot = int(self._rng.random() * 2)
        thing = scene.objects[slot]
        alone = dataclasses.replace(scene, kind="single_object", objects=(scene.objects[1 - slot],))
        if kind == "add":
            return Repaint(kind, self._say(alone), scene, region_of(thing, spec))
        if kind == "remove":
            return Repaint(kind, scene, self._say(alone), region_of(thing, spec))
        names = self._pairs.others(scene)
        if not names:
            return None
        new = dataclasses.replace(thing, name=names[int(self._rng.random() * len(names))])
        things = (new, scene.objects[1]) if slot == 0 else (scene.objects[0], new)
        if is_held_out("pair", *(o.name for o in things)) != self.held_out or (
            not self.held_out and any(is_held_out("relation", *fact) for fact in _lie(*things))
        ):
            return None
        after = self._say(dataclasses.replace(scene, objects=things))
        return Repaint(kind, scene, after, region_of(thing, spec))

    def _recolour(self) -> Repaint | None:
        after = self._coloured.sample()
        thing = after.objects[0]
        clear = [
            c
            for c in COLOUR_NAMES
            if c != thing.colour
            and after.background not in self._coloured.spec.clashes[c]
            and is_held_out("colour", thing.name, c) == self.held_out
        ]
        if not clear:
            return None
        other = dataclasses.replace(thing, colour=clear[int(self._rng.random() * len(clear))])
        before = self._coloured.say(dataclasses.replace(after, objects=(other,)))
        return Repaint("recolour", before, after, region_of(thing, self._coloured.spec))

    def _say(self, scene: Scene) -> Scene:
        return self._pairs.say(scene)


def _lie(a: SceneObject, b: SceneObject) -> list[tuple[str, str, str]]:
    """How two things may be said to lie to one another, by their middles."""
    dx, dy = (2 * (a.x - b.x) + a.size - b.size), (2 * (a.y - b.y) + a.size - b.size)
    across = "left of" if dx < 0 else "right of"
    upright = "above" if dy < 0 else "below"
    return [(a.name, across if abs(dx) >= abs(dy) else upright, b.name)]
