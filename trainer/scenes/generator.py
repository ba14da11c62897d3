"""Scenes with truth: what is drawn, where, on what, and a caption that says so.

A scene holds one to four objects of one art style on a named background (six in the world at 256 pixels), on the
lattice at few sizes and places, so that the tokens of an object repeat, or anywhere: `trainer/scenes/spec.py` says how
a world does it. The kinds are GenEval's tags (Ghosh et al. 2023), and those of the world beside them. Combinations kept
for evaluation (`trainer/scenes/splits.py`) never occur in the train split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import TypeVar

import numpy as np

from trainer.scenes import captions
from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import COLOUR_NAMES
from trainer.scenes.drawing.places import Placed, free, look_for
from trainer.scenes.scene import Scene, SceneBatch, SceneObject
from trainer.scenes.spec import EMOJI_128, Layout, SceneSpec
from trainer.scenes.splits import is_held_out
from trainer.scenes.wordings import Wordings

# of EMOJI_128, in pixels, for those who know this world only
SIZES, SLOTS, KINDS = EMOJI_128.sizes, EMOJI_128.slots, EMOJI_128.kinds
ONE, BESIDE, STACKED, COUNTS = EMOJI_128.one, EMOJI_128.beside, EMOJI_128.stacked, EMOJI_128.counts
MIN_CONTRAST = EMOJI_128.contrast
HELD_OUT_KINDS = EMOJI_128.held_out_kinds
RELATIONS = ("left of", "right of", "above", "below")
SAY_BACKGROUND, SAY_STYLE = 0.85, 0.5
MOST_TRIES = 20_000  # few objects may have no combination that is held out
T = TypeVar("T")
Things = list[tuple[int, str | None]]  # object, colour
# things, how the first lies to the second, a snapped layout, how many of each kind
Found = tuple[Things, str | None, Layout, tuple[int, ...]]
COLOURED_GROUPS = 0.4  # share of the scenes of two counts in which both kinds have a colour


class SceneGenerator:
    """Endless scenes, the same for the same seed in every process.

    n_objects: use the first n objects of the atlas (all by default). styles: names (those of the world by default);
    only objects drawn in a style appear in it. split: "train" or "seen" (the same distribution, other lots) or
    "held_out" (only combinations kept from training). kinds: names, or {name: weight}. favour_from: objects
    from this index on are drawn twice as often (they joined a model that knows the others). reword: share of the
    captions in the other words of `trainer/scenes/wordings.py`; one for which `fits(caption)` is false is said plainly.
    spec: the world. Raises ValueError for unknown names or an n_objects out of range.
    """

    def __init__(
        self,
        atlas: Atlas,
        *,
        n_objects: int | None = None,
        styles: Sequence[str] | None = None,
        seed: int | str = 0,
        split: str = "train",
        kinds: Iterable[str] | Mapping[str, float] | None = None,
        favour_from: int | None = None,
        reword: float = 0.0,
        fits: Callable[[str], bool] | None = None,
        spec: SceneSpec = EMOJI_128,
    ) -> None:
        self.spec = spec
        self.n_objects = len(atlas) if n_objects is None else int(n_objects)
        if not 2 <= self.n_objects <= len(atlas):
            raise ValueError(f"n_objects must be between 2 and {len(atlas)}, got {n_objects}.")
        self.styles = spec.styles_in(atlas.styles) if styles is None else list(styles)
        unknown = [s for s in self.styles if s not in atlas.styles]
        if unknown or not self.styles:
            raise ValueError(f"Unknown style {unknown}: choose from {', '.join(atlas.styles)}.")
        if split not in ("train", "seen", "held_out"):
            raise ValueError(f"split must be train, seen or held_out, got {split!r}.")
        allowed = spec.held_out_kinds if split == "held_out" else tuple(spec.kinds)
        kinds = {k: spec.kinds[k] for k in allowed} if kinds is None else kinds
        shares = kinds if isinstance(kinds, Mapping) else {k: spec.kinds.get(k, 0.0) for k in kinds}
        if not shares or any(k not in allowed for k in shares):
            raise ValueError(f"The {split} split has the kinds {', '.join(allowed)}, got {list(shares)}.")
        self.held_out = split == "held_out"
        self.objects = atlas.objects[: self.n_objects]
        self._style_names = [(s, *atlas.aliases[s]) for s in self.styles]
        drawn = [
            *range(self.n_objects),
            *range(self.n_objects if favour_from is None else favour_from, self.n_objects),
        ]
        self._members = [[i for i in drawn if atlas.has(i, s)] for s in self.styles]
        self._kinds, self._cumulative = (
            list(shares),
            list(np.cumsum(list(shares.values())) / sum(shares.values())),
        )
        weights = np.array([dict(spec.style_weights).get(s, 1.0) for s in self.styles])
        self._style_edges = (np.cumsum(weights) / weights.sum()).tolist() if spec.style_weights else None
        self._grounds = self._visible_grounds(atlas)
        self.reword, self._fits = reword, fits
        self._wordings = Wordings(atlas, spec) if reword else None
        self._split = "held_out" if self.held_out else split
        self.reseed(seed)

    def reseed(self, seed: int | str) -> None:
        """Start anew from `seed` (a number or a text)."""
        self._rng = Random(f"chisel-scenes-{seed}-{self._split}")

    def _visible_grounds(self, atlas: Atlas) -> dict:
        """(object, style or colour) -> set of background indices on which it can be told from the ground."""
        grounds = self.spec.grounds
        seen: dict[tuple[int, int] | str, frozenset[int]] = {}
        rgb = np.array([b.rgb for b in grounds], np.float64)
        for s, style in enumerate(self.styles):
            for i in self._members[s]:
                far = np.linalg.norm(rgb - np.array(atlas.means[i, style]), axis=1) >= self.spec.contrast
                seen[i, s] = frozenset(np.flatnonzero(far).tolist())
        for colour in COLOUR_NAMES:
            clashes = self.spec.clashes[colour]
            seen[colour] = frozenset(k for k, b in enumerate(grounds) if b.name not in clashes)
        return seen

    def _pick(self, options: Sequence[T]) -> T:
        return options[int(self._rng.random() * len(options))]

    def _style(self) -> int:
        roll = self._rng.random()
        if self._style_edges is None:
            return int(roll * len(self.styles))
        return next((k for k, edge in enumerate(self._style_edges) if roll < edge), len(self.styles) - 1)

    def _draw(self) -> tuple[str, int, Things, str | None, Placed, int, int]:
        """One scene as plain values: kind, style, [(object, colour)], relation, places, ground, its look."""
        roll, k = self._rng.random(), 0
        while roll > self._cumulative[k] and k < len(self._kinds) - 1:
            k += 1
        kind = self._kinds[k]
        for _ in range(MOST_TRIES):
            style = self._style()
            found = self._things(kind, self._members[style])
            if found is None:
                continue
            things, lying, layout, groups = found
            grounds = None
            for index, colour in dict.fromkeys(things):
                seen = self._grounds[colour] if colour else self._grounds[index, style]
                grounds = seen if grounds is None else grounds & seen
            background = int(self._rng.random() * len(self.spec.grounds))
            if grounds and background not in grounds:
                background = self._pick(sorted(grounds))
            placed = self._placed(kind, layout, groups, lying)
            if placed is None:
                continue
            look = look_for(self._rng, self.spec, background, placed)
            return kind, style, things, lying if kind == "position" else None, placed, background, look
        raise ValueError(f"Found no {kind!r} scene for this split: use more objects.")

    def _things(self, kind: str, members: list[int]) -> Found | None:
        """([(object, colour)], how the first lies to the second, a snapped layout, how many of each kind), or None
        where the draw belongs to another split."""
        spec = self.spec
        if kind in ("single_object", "colors"):
            colour = self._pick(COLOUR_NAMES) if kind == "colors" else None
            things, layout = [(self._pick(members), colour)], self._pick(spec.one)
            if colour and is_held_out("colour", self.objects[things[0][0]].name, colour) != self.held_out:
                return None
            return things, None, layout, (1,)
        if kind in ("counting", "many"):
            number = (
                int(self._rng.random() * 4) + 1 if kind == "counting" else 5 + int(2 * self._rng.random())
            )
            things, layout = [(self._pick(members), None)] * number, self._pick(spec.counts[number])
            if is_held_out("count", self.objects[things[0][0]].name, number) != self.held_out:
                return None
            return things, None, layout, (number,)
        if kind == "two_counts":
            return self._two_counts(members)
        first, second = self._pick(members), self._pick(members)
        if first == second:
            return None
        lying = self._pick(RELATIONS[:2] if kind == "sizes" else RELATIONS)
        a, b = self.objects[first].name, self.objects[second].name
        unseen = is_held_out("relation", a, lying, b)
        out = is_held_out("pair", a, b) or (kind == "position" and unseen)
        things = [(first, None), (second, None)]
        if kind == "color_attr":
            one, two = self._pick(COLOUR_NAMES), self._pick(COLOUR_NAMES)
            if one == two:
                return None
            things = [(first, one), (second, two)]
            out = out or is_held_out("colour", a, one) or is_held_out("colour", b, two)
        if out != self.held_out or (unseen and not self.held_out):
            return None  # a layout kept from training is kept from it even where no caption says it
        size, places = self._pick(spec.beside if lying in ("left of", "right of") else spec.stacked)
        layout = (size, places if lying in ("left of", "above") else places[::-1])
        return things, lying, layout, (1, 1)

    def _two_counts(self, members: list[int]) -> Found | None:
        """A few of one kind and a few of another, three to six in all, perhaps in two colours."""
        first, second = self._pick(members), self._pick(members)
        total = 3 + int(self._rng.random() * (self.spec.slots - 2))
        one = 1 + int(self._rng.random() * (total - 1))
        hues: list[str | None] = [None, None]
        if self._rng.random() < COLOURED_GROUPS:
            hues = [self._pick(COLOUR_NAMES), self._pick(COLOUR_NAMES)]
        if first == second or (hues[0] and hues[0] == hues[1]):
            return None
        a, b = self.objects[first].name, self.objects[second].name
        facts: list[tuple[str, str, str | int]] = [
            ("pair", a, b),
            ("count", a, one),
            ("count", b, total - one),
        ]
        facts += [("colour", name, hue) for name, hue in zip((a, b), hues, strict=True) if hue]
        if any(is_held_out(*fact) for fact in facts) != self.held_out:
            return None
        size, places = self._pick(self.spec.counts[total])
        shuffled = list(places)
        self._rng.shuffle(shuffled)
        things = [(first, hues[0])] * one + [(second, hues[1])] * (total - one)
        return things, None, (size, tuple(shuffled)), (one, total - one)

    def _placed(self, kind: str, layout: Layout, groups: tuple[int, ...], lying: str | None) -> Placed | None:
        """On the lattice or anywhere; None where a scene that must be free found no room."""
        unlike = kind == "sizes"
        if self.spec.snapped < 1 and (unlike or self._rng.random() >= self.spec.snapped):
            placed = free(self._rng, self.spec, groups, lying, unlike)
            if placed is not None or unlike:
                return placed
        return Placed.snapped(layout)

    def _caption(
        self, kind: str, style: int, things: Things, relation: str | None, background: int
    ) -> tuple[str, bool, bool]:
        rng, objects = self._rng, self.objects
        says_background, says_style = rng.random() < SAY_BACKGROUND, rng.random() < SAY_STYLE
        slip = False
        if self._wordings and rng.random() < self.reword:
            spoken = self._pick(self._style_names[style]) if says_style else None
            ground = self.spec.grounds[background] if says_background else None
            said = [(objects[i], colour) for i, colour in things]
            slip = kind in ("two_counts", "sizes")
            if not slip:
                text = self._wordings.say(rng, said, relation, ground, spoken)
                if self._fits is None or self._fits(text):
                    return text, says_background, says_style
        bare = rng.random() < (0.15 if says_background else 0.6)
        first = objects[things[0][0]]
        if kind in ("single_object", "colors"):
            text = captions.noun_phrase(rng, first, things[0][1], bare)
        elif kind in ("counting", "many"):
            text = captions.counted(rng, first, len(things))
        elif kind == "two_counts":
            groups = [(objects[i], colour, things.count((i, colour))) for i, colour in dict.fromkeys(things)]
            text = captions.two_counts(rng, groups)
        elif kind == "sizes":
            text = captions.small_and_big(rng, first, objects[things[1][0]])
        else:
            second = objects[things[1][0]]
            a = captions.noun_phrase(rng, first, things[0][1], bare)
            b = captions.noun_phrase(rng, second, things[1][1], bare)
            text = captions.related(rng, a, relation, b) if relation else f"{a} and {b}"
        if says_background:
            text = captions.ground(rng, text, self.spec.grounds[background])
        spoken = None
        if says_style:
            names = self._style_names[style]
            spoken = names[0] if rng.random() < 0.75 else self._pick(names)
        text = captions.finish(rng, text, spoken, opener=not bare)
        if slip and self._wordings is not None:
            wrong = self._wordings.slip(rng, text)
            text = wrong if self._fits is None or self._fits(wrong) else text
        return text, says_background, says_style

    def sample(self) -> Scene:
        """The next scene."""
        kind, style, things, relation, placed, background, look = self._draw()
        caption, says_background, says_style = self._caption(kind, style, things, relation, background)
        objects = tuple(
            SceneObject(self.objects[i].name, colour, size, x, y, angle)
            for (i, colour), size, (x, y), angle in zip(
                things, placed.sizes, placed.places, placed.angles, strict=True
            )
        )
        return Scene(
            kind,
            self.spec.grounds[background].name,
            self.styles[style],
            objects,
            relation,
            caption,
            says_background,
            says_style,
            look,
        )

    def say(self, scene: Scene) -> Scene:
        """The scene with a new caption, of its kind: for one whose things were changed."""
        order = {o.name: o.index for o in self.objects}
        things = [(order[o.name], o.colour) for o in scene.objects]
        background = [b.name for b in self.spec.grounds].index(scene.background)
        told = self._caption(scene.kind, self.styles.index(scene.style), things, scene.relation, background)
        caption, says_background, says_style = told
        return dataclasses.replace(
            scene, caption=caption, says_background=says_background, says_style=says_style
        )

    def others(self, scene: Scene, colour: str | None = None) -> list[str]:
        """Names of objects that are drawn in the scene's style, show on its ground and are not in it."""
        style = self.styles.index(scene.style)
        background = [b.name for b in self.spec.grounds].index(scene.background)
        taken = {o.name for o in scene.objects}
        return [
            self.objects[i].name
            for i in dict.fromkeys(self._members[style])
            if background in self._grounds[colour or (i, style)] and self.objects[i].name not in taken
        ]

    def batch(self, n: int) -> SceneBatch:
        """The next n scenes as arrays and captions: the same scenes that n calls of sample() would give."""
        out, styles = SceneBatch.empty(n, self.spec.slots), len(self.styles)
        assert out.angle is not None and out.look is not None
        for row in range(n):
            kind, style, things, relation, placed, background, look = self._draw()
            out.captions[row] = self._caption(kind, style, things, relation, background)[0]
            out.background[row], out.look[row] = background, look
            count = len(things)
            out.sprite[row, :count] = [sprite_index(i, style, colour, styles) for i, colour in things]
            out.size[row, :count] = placed.sizes
            out.xy[row, :count] = placed.places
            out.angle[row, :count] = placed.angles
        return out

    def to_batch(self, scenes: list[Scene]) -> SceneBatch:
        """Scenes -> arrays, for scenes of this generator's objects and styles."""
        order = {o.name: o.index for o in self.objects}

        def row_of(scene: Scene, obj: SceneObject) -> int:
            return sprite_index(order[obj.name], self.styles.index(scene.style), obj.colour, len(self.styles))

        return as_batch(scenes, self.spec, row_of)


def as_batch(scenes: list[Scene], spec: SceneSpec, row_of: Callable[[Scene, SceneObject], int]) -> SceneBatch:
    """Scenes -> arrays; row_of(scene, object): the row of its sprite in a bank."""
    names = {b.name: k for k, b in enumerate(spec.grounds)}
    out = SceneBatch.empty(len(scenes), spec.slots)
    assert out.angle is not None and out.look is not None
    for row, scene in enumerate(scenes):
        out.background[row], out.look[row] = names[scene.background], scene.look
        out.captions[row] = scene.caption
        for slot, obj in enumerate(scene.objects):
            out.sprite[row, slot] = row_of(scene, obj)
            out.size[row, slot], out.angle[row, slot] = obj.size, obj.angle
            out.xy[row, slot] = obj.x, obj.y
    return out


_COLOUR_SLOT = {None: 0} | {name: i + 1 for i, name in enumerate(COLOUR_NAMES)}
VARIANTS = len(_COLOUR_SLOT)  # as drawn, and each colour


def sprite_index(obj: int, style: int, colour: str | None, n_styles: int) -> int:
    """Row of a sprite bank: objects, then styles, then colours (0 = as drawn)."""
    return (obj * n_styles + style) * VARIANTS + _COLOUR_SLOT[colour]
