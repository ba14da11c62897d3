"""Scenes that differ from what was asked for in one thing: what a judge must refuse."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from random import Random

from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import COLOUR_NAMES
from trainer.scenes.scene import Scene, SceneObject
from trainer.scenes.spec import SceneSpec


def near_misses(scene: Scene, seed: int, atlas: Atlas, n_objects: int, spec: SceneSpec) -> dict[str, Scene]:
    """Wrong scenes for a scene's caption, by the kind of mistake. What its kind cannot get wrong is absent."""
    rng = Random(seed)
    things, out = list(scene.objects), {}
    n = len(things)

    def laid_out(objects: list[SceneObject]) -> Scene:
        """The things at places of the lattice for so many."""
        size, places = rng.choice(spec.counts[len(objects)])
        stood = [
            dataclasses.replace(o, size=size, x=x, y=y, angle=0)
            for o, (x, y) in zip(objects, places, strict=True)
        ]
        return dataclasses.replace(scene, objects=tuple(stood))

    if n < spec.slots:
        taken = {o.name for o in things}
        names = [
            o.name
            for o in atlas.objects[:n_objects]
            if o.name not in taken and _shows(atlas, o.index, scene, spec)
        ]
        extra = SceneObject(rng.choice(names), None, 0, 0, 0)
        out["one object extra"] = laid_out([*things, extra])
    if scene.kind in ("counting", "many"):
        number = n + 1 if n < spec.slots else n - 1
        out["count off by one"] = laid_out([things[0]] * number)
    elif scene.kind == "two_counts":
        out["one object missing"] = laid_out(things[:-1])
        out |= _other_counts(scene, laid_out)
    elif n > 1:
        out["one object missing"] = laid_out(things[:1])
    else:
        out["count off by one"] = laid_out(things * 2)
    if scene.kind == "colors":
        hue = rng.choice(
            [c for c in COLOUR_NAMES if c != things[0].colour and scene.background not in spec.clashes[c]]
        )
        out["another colour"] = dataclasses.replace(
            scene, objects=(dataclasses.replace(things[0], colour=hue),)
        )
    if scene.kind == "color_attr":
        a, b = things
        swapped = dataclasses.replace(a, colour=b.colour), dataclasses.replace(b, colour=a.colour)
        out["colours swapped"] = dataclasses.replace(scene, objects=swapped)
    if scene.kind == "position":
        a, b = things
        flipped = _moved(a, b), _moved(b, a)
        out["relation flipped"] = dataclasses.replace(scene, objects=flipped)
    return out


def _moved(thing: SceneObject, to: SceneObject) -> SceneObject:
    """A thing in the place of another, as large as that one."""
    return dataclasses.replace(thing, x=to.x, y=to.y, size=to.size, angle=to.angle)


def _other_counts(scene: Scene, laid_out: Callable[[list[SceneObject]], Scene]) -> dict[str, Scene]:
    """Of two kinds: one of the first in place of one of the second; colours exchanged, where both have one."""
    things = list(scene.objects)
    first, second = things[0], things[-1]
    out = {"one kind for another": laid_out([*things[:-1], first])}
    if sum((o.name, o.colour) == (second.name, second.colour) for o in things) == 1:
        # the last of its kind would go: then one more of it instead
        ones = [o for o in things if o.name == first.name]
        out["one kind for another"] = laid_out([*ones[:-1], second, second])
    if first.colour and second.colour:
        hue = {first.name: second.colour, second.name: first.colour}
        swapped = [dataclasses.replace(o, colour=hue[o.name]) for o in things]
        out["colours swapped"] = dataclasses.replace(scene, objects=tuple(swapped))
    return out


def _shows(atlas: Atlas, index: int, scene: Scene, spec: SceneSpec) -> bool:
    """Whether the object is drawn in the scene's style and can be told from its ground."""
    if not atlas.has(index, scene.style):
        return False
    ground = next(b.rgb for b in spec.grounds if b.name == scene.background)
    return math.dist(ground, atlas.means[index, scene.style]) >= spec.contrast
