"""The tasks of the repaint benchmark: a picture, cells to be made anew, a caption of the result, what must be true.

Four kinds come from `trainer/scenes/repaint.py`: one thing is added, removed, replaced or given another colour. Two
more need no drawing at all: a thing's tokens are copied or moved by whole cells, and only the seam, and the hole that a
moved thing leaves, are made anew. There the copied tokens are to come out exactly.

Legend: h, w cells of the token grid.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from random import Random

import numpy as np
import torch

from mdm_core.diffusion.regions import boxes
from trainer.scenes.atlas import Atlas
from trainer.scenes.generator import SceneGenerator
from trainer.scenes.repaint import Box, Repainter, region_of
from trainer.scenes.scene import Scene, SceneObject
from trainer.scenes.spec import SceneSpec
from trainer.settings.evaluate import EXACT_KINDS as EXACT_KINDS
from trainer.settings.evaluate import KINDS
from trainer.settings.evaluate import PER_KIND as PER_KIND

EVERY_KIND = (*KINDS, *EXACT_KINDS)
EXACT_SHARE = 5  # so many times fewer tasks of the exact kinds
SEED = 6_000_011
TRIES = 2000
Offset = tuple[int, int]  # cells down and to the right


@dataclass(frozen=True)
class Task:
    """One task. `index` is its place in the list; its noise seed is SEED + index."""

    index: int
    kind: str
    split: str
    before: Scene
    after: Scene
    region: np.ndarray  # bool [h, w]: cells that are made anew
    # things that must still be found where they were
    kept: tuple[SceneObject, ...]
    source: np.ndarray | None = None  # bool [h, w]: cells whose tokens are copied
    offset: Offset = (0, 0)

    @property
    def prompt(self) -> str:
        return self.after.caption

    def start(self, tokens: np.ndarray, mask_id: int) -> np.ndarray:
        """Tokens of the picture before, int [h, w] -> those that sampling starts from."""
        out = tokens.copy()
        if self.source is not None:
            out[self.target] = tokens[self.source]
        out[self.region] = mask_id
        return out

    @property
    def target(self) -> np.ndarray:
        """bool [h, w]: where the copied tokens come to lie; nowhere, where none are copied."""
        if self.source is None:
            return np.zeros_like(self.region)
        return np.roll(self.source, self.offset, (0, 1))

    def rest_is_exact(self, before: np.ndarray, after: np.ndarray) -> bool:
        """Whether all tokens outside the region are those of the start."""
        wanted = self.start(before, -1)
        return bool((after[~self.region] == wanted[~self.region]).all())


def tasks(
    atlas: Atlas,
    spec: SceneSpec,
    styles: list[str],
    n_objects: int,
    per_kind: int = PER_KIND,
    kinds: tuple[str, ...] = EVERY_KIND,
    seed: int = SEED,
) -> list[Task]:
    """`per_kind` tasks of each kind, of combinations seen in training and held out from it in turn."""
    wanted = {"n_objects": n_objects, "styles": styles, "spec": spec}
    found: list[Task] = []
    for kind in kinds:
        exact = kind in EXACT_KINDS
        number = max(1, per_kind // EXACT_SHARE) if exact else per_kind
        if exact:
            mover = _Mover(atlas, seed, spec, wanted)
            drawn = [mover.draw(kind) for _ in range(number)]
        else:
            lots = [Repainter(atlas, seed, split=s, **wanted) for s in ("seen", "held_out")]
            drawn = [_of_pair(lots[i % 2], kind, spec) for i in range(number)]
        found += [dataclasses.replace(task, index=len(found) + i) for i, task in enumerate(drawn)]
    return found


def cells(box: Box, spec: SceneSpec, border: int = 0) -> np.ndarray:
    """Cells that a box touches, and `border` more around them: bool [h, w]."""
    return boxes(torch.tensor([[box]]), (spec.grid, spec.grid), spec.patch, border)[0].numpy()


def _of_pair(repainter: Repainter, kind: str, spec: SceneSpec) -> Task:
    pair = repainter.draw(kind)
    kept = tuple(o for o in pair.after.objects if o in pair.before.objects)
    split = "held_out" if repainter.held_out else "seen"
    return Task(0, kind, split, pair.before, pair.after, cells(pair.region, spec), kept)


class _Mover:
    """Draws scenes of one thing that has room for a copy of itself."""

    def __init__(self, atlas: Atlas, seed: int, spec: SceneSpec, wanted: dict):
        self.spec, self.rng = spec, Random(f"chisel-move-{seed}")
        self.scenes = SceneGenerator(
            atlas, seed=f"move-{seed}", split="seen", kinds={"two_object": 1.0}, **wanted
        )

    def draw(self, kind: str) -> Task:
        spec = self.spec
        for _ in range(TRIES):
            pair = self.scenes.sample()
            thing = pair.objects[0]
            before = self.scenes.say(
                dataclasses.replace(pair, kind="single_object", objects=(thing,), relation=None)
            )
            source = cells(region_of(thing, spec), spec)
            offset = self._offset(source)
            if offset is None:
                continue
            down, right = (n * spec.patch for n in offset)
            other = dataclasses.replace(thing, x=thing.x + right, y=thing.y + down)
            things = (thing, other) if kind == "copy" else (other,)
            scene = dataclasses.replace(
                before, kind="counting" if kind == "copy" else "single_object", objects=things
            )
            after = self.scenes.say(scene)
            target = np.roll(source, offset, (0, 1))
            seam = _grown(target) & ~target & ~source
            region = seam | source if kind == "move" else seam
            kept = (thing, other) if kind == "copy" else (other,)
            return Task(0, kind, "seen", before, after, region, kept, source, offset)
        raise ValueError(f"found no thing with room to {kind} it: use more objects")

    def _offset(self, source: np.ndarray) -> Offset | None:
        """By how many cells it may go so that it lies wholly beyond where it was, a seam apart, or None."""
        rows, columns = (np.flatnonzero(source.any(axis)) for axis in (1, 0))
        h, w = source.shape
        ways = [
            (down, right)
            for down in range(-rows[0], h - rows[-1])
            for right in range(-columns[0], w - columns[-1])
            if abs(down) > len(rows) or abs(right) > len(columns)
        ]
        return self.rng.choice(ways) if ways else None


def _grown(cells: np.ndarray) -> np.ndarray:
    """The cells and their eight neighbours."""
    wide = np.pad(cells, 1)
    h, w = cells.shape
    return np.any([wide[i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=0)
