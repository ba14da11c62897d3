"""Scenes with truth: what is drawn, where, on what, and a caption that says so.

A scene holds one to four objects of one art style on a named background, everything snapped to the 8-pixel
lattice and at few sizes and places, so that the tokens of an object repeat. The kinds are GenEval's tags
(Ghosh et al. 2023). Combinations kept for evaluation (`trainer/scenes/splits.py`) never occur in the train split.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np

from trainer.scenes import captions
from trainer.scenes.atlas import Atlas
from trainer.scenes.colours import BACKGROUNDS, CLASHES, COLOUR_NAMES
from trainer.scenes.splits import is_held_out
from trainer.scenes.wordings import Wordings

SIZES = (96, 72, 56, 48)  # sprite sides in pixels
SLOTS = 4  # most objects in a scene
KINDS = {  # kind -> share of the train split
    "single_object": 0.34,
    "colors": 0.12,
    "two_object": 0.06,
    "position": 0.16,
    "counting": 0.16,
    "color_attr": 0.16,
}
HELD_OUT_KINDS = (
    "colors",
    "two_object",
    "position",
    "counting",
    "color_attr",
)  # one object alone cannot be held out
RELATIONS = ("left of", "right of", "above", "below")
SAY_BACKGROUND, SAY_STYLE = 0.85, 0.5
MOST_TRIES = 20_000  # few objects may have no combination that is held out
MIN_CONTRAST = 64.0  # RGB distance between a sprite's mean colour and a plain background

# places: lists of (size, ((x, y) per object)), top-left corners in pixels
ONE = (
    [(96, ((16, 16),))] * 6
    + [(96, ((x, y),)) for x in (8, 16, 24) for y in (8, 16, 24)]
    + [(72, ((x, y),)) for x in (8, 24, 48) for y in (8, 24, 48)]
)
BESIDE = [(56, ((a, y), (b, y))) for a, b in ((8, 64), (0, 72), (8, 72)) for y in (32, 40)]
STACKED = [(56, ((x, a), (x, b))) for a, b in ((8, 64), (0, 72), (8, 72)) for x in (32, 40)]
THREE = [
    (56, ((40, 8), (8, 64), (64, 64))),
    (56, ((8, 8), (64, 8), (40, 64))),
    (48, ((40, 16), (8, 64), (72, 64))),
    (48, ((8, 16), (72, 16), (40, 64))),
    (48, ((16, 8), (64, 8), (40, 64))),
]
FOUR = [
    (56, ((8, 8), (64, 8), (8, 64), (64, 64))),
    (56, ((0, 0), (72, 0), (0, 72), (72, 72))),
    (48, ((16, 16), (64, 16), (16, 64), (64, 64))),
    (48, ((8, 8), (72, 8), (8, 72), (72, 72))),
]
TWO_SAME = BESIDE + STACKED + [(56, ((8, 8), (64, 64))), (56, ((64, 8), (8, 64)))]
COUNTS = {1: ONE, 2: TWO_SAME, 3: THREE, 4: FOUR}


@dataclass(frozen=True)
class SceneObject:
    name: str
    colour: str | None  # None: as drawn by the artist
    size: int  # pixels
    x: int  # left edge, pixels
    y: int  # top edge, pixels


@dataclass(frozen=True)
class Scene:
    kind: str
    background: str
    style: str
    objects: tuple[SceneObject, ...]
    relation: str | None  # how objects[0] lies to objects[1], when the caption says it
    caption: str
    says_background: bool
    says_style: bool

    def truth(self) -> dict:
        """The scene as a line of GenEval's jsonl, plus style and background (None where not said).

        `exclude` is in every tag: one more of an included class, or any unnamed object, is an error.
        """
        include: list[dict] = []
        for obj in self.objects:
            same = [e for e in include if e["class"] == obj.name and e.get("color") == obj.colour]
            if same:
                same[0]["count"] += 1
            else:
                include.append(
                    {"class": obj.name, "count": 1} | ({"color": obj.colour} if obj.colour else {})
                )
        if (
            self.relation
        ):  # GenEval: [relation, index of the other include]; the first object holds the position
            include[0]["position"] = [self.relation, 1]
        exclude = [{"class": e["class"], "count": e["count"] + 1} for e in include]
        return {
            "tag": self.kind,
            "include": include,
            "exclude": exclude,
            "prompt": self.caption,
            "style": self.style if self.says_style else None,
            "background": self.background if self.says_background else None,
        }


@dataclass(frozen=True)
class SceneBatch:
    """Integer arrays for the renderer, what a worker process sends. B scenes, 4 slots."""

    background: np.ndarray  # int64 [B], index into BACKGROUNDS
    sprite: (
        np.ndarray
    )  # int64 [B, 4], (object * styles + style) * 9 + colour, colour 0 = as drawn; -1 = empty
    size: np.ndarray  # int64 [B, 4], pixels
    xy: np.ndarray  # int64 [B, 4, 2], top-left corner (x, y), pixels
    captions: list[str]

    def __len__(self) -> int:
        return len(self.captions)


class SceneGenerator:
    """Endless scenes, the same for the same seed in every process.

    n_objects: use the first n objects of the atlas (all by default). styles: names (all by default); only
    objects drawn in a style appear in it. split: "train" or "seen" (the same distribution, other lots) or
    "held_out" (only combinations kept from training). kinds: names, or {name: weight}. favour_from: objects
    from this index on are drawn twice as often (they joined a model that knows the others). reword: share of the
    captions in the other words of `trainer/scenes/wordings.py`; one for which `fits(caption)` is false is said plainly.
    Raises ValueError for unknown names or an n_objects out of range.
    """

    def __init__(
        self,
        atlas: Atlas,
        *,
        n_objects=None,
        styles=None,
        seed=0,
        split="train",
        kinds=None,
        favour_from=None,
        reword=0.0,
        fits=None,
    ):
        self.n_objects = len(atlas) if n_objects is None else int(n_objects)
        if not 2 <= self.n_objects <= len(atlas):
            raise ValueError(f"n_objects must be between 2 and {len(atlas)}, got {n_objects}.")
        self.styles = list(atlas.styles if styles is None else styles)
        unknown = [s for s in self.styles if s not in atlas.styles]
        if unknown or not self.styles:
            raise ValueError(f"Unknown style {unknown}: choose from {', '.join(atlas.styles)}.")
        if split not in ("train", "seen", "held_out"):
            raise ValueError(f"split must be train, seen or held_out, got {split!r}.")
        allowed = HELD_OUT_KINDS if split == "held_out" else tuple(KINDS)
        kinds = {k: KINDS[k] for k in allowed} if kinds is None else kinds
        if not isinstance(kinds, dict):
            kinds = {k: KINDS.get(k, 0.0) for k in kinds}
        if not kinds or any(k not in allowed for k in kinds):
            raise ValueError(f"The {split} split has the kinds {', '.join(allowed)}, got {list(kinds)}.")
        self.held_out = split == "held_out"
        self.objects = atlas.objects[: self.n_objects]
        self._style_names = [(s, *atlas.aliases[s]) for s in self.styles]
        drawn = [
            *range(self.n_objects),
            *range(self.n_objects if favour_from is None else favour_from, self.n_objects),
        ]
        self._members = [[i for i in drawn if atlas.has(i, s)] for s in self.styles]
        self._kinds, self._cumulative = (
            list(kinds),
            list(np.cumsum(list(kinds.values())) / sum(kinds.values())),
        )
        self._grounds = self._visible_grounds(atlas)
        self.reword, self._wordings, self._fits = reword, Wordings(atlas) if reword else None, fits
        self._split = "held_out" if self.held_out else split
        self.reseed(seed)

    def reseed(self, seed) -> None:
        """Start anew from `seed` (a number or a text)."""
        self._rng = Random(f"chisel-scenes-{seed}-{self._split}")

    def _visible_grounds(self, atlas: Atlas) -> dict:
        """(object, style or colour) -> set of background indices on which it can be told from the ground."""
        rgb = np.array([b.rgb for b in BACKGROUNDS], np.float64)
        grounds = {}
        for s, style in enumerate(self.styles):
            for i in self._members[s]:
                far = np.linalg.norm(rgb - np.array(atlas.means[i, style]), axis=1) >= MIN_CONTRAST
                grounds[i, s] = frozenset(np.flatnonzero(far).tolist())
        for colour in COLOUR_NAMES:
            grounds[colour] = frozenset(k for k, b in enumerate(BACKGROUNDS) if b.name not in CLASHES[colour])
        return grounds

    def _pick(self, options):
        return options[int(self._rng.random() * len(options))]

    def _draw(self):
        """One scene as plain values: kind, style, [(object, colour)], relation, (size, places), ground."""
        roll, k = self._rng.random(), 0
        while roll > self._cumulative[k] and k < len(self._kinds) - 1:
            k += 1
        kind = self._kinds[k]
        for _ in range(MOST_TRIES):
            style = int(self._rng.random() * len(self.styles))
            members = self._members[style]
            relation = None
            if kind in ("single_object", "colors"):
                colour = self._pick(COLOUR_NAMES) if kind == "colors" else None
                things, layout = [(self._pick(members), colour)], self._pick(ONE)
                if colour and is_held_out("colour", self.objects[things[0][0]].name, colour) != self.held_out:
                    continue
            elif kind == "counting":
                number = int(self._rng.random() * 4) + 1
                things, layout = [(self._pick(members), None)] * number, self._pick(COUNTS[number])
                if is_held_out("count", self.objects[things[0][0]].name, number) != self.held_out:
                    continue
            else:
                first, second = self._pick(members), self._pick(members)
                if first == second:
                    continue
                lying = self._pick(RELATIONS)
                a, b = self.objects[first].name, self.objects[second].name
                unseen = is_held_out("relation", a, lying, b)
                out = is_held_out("pair", a, b) or (kind == "position" and unseen)
                things = [(first, None), (second, None)]
                if kind == "color_attr":
                    one, two = self._pick(COLOUR_NAMES), self._pick(COLOUR_NAMES)
                    if one == two:
                        continue
                    things = [(first, one), (second, two)]
                    out = out or is_held_out("colour", a, one) or is_held_out("colour", b, two)
                if out != self.held_out or (unseen and not self.held_out):
                    continue  # a layout kept from training is kept from it even where no caption says it
                size, places = self._pick(BESIDE if lying in ("left of", "right of") else STACKED)
                layout = (size, places if lying in ("left of", "above") else places[::-1])
                relation = lying if kind == "position" else None
            grounds = None
            for index, colour in things[:2]:
                seen = self._grounds[colour] if colour else self._grounds[index, style]
                grounds = seen if grounds is None else grounds & seen
            background = int(self._rng.random() * len(BACKGROUNDS))
            if grounds and background not in grounds:
                background = self._pick(sorted(grounds))
            return kind, style, things, relation, layout, background
        raise ValueError(f"Found no {kind!r} scene for this split: use more objects.")

    def _caption(self, kind, style, things, relation, background):
        rng, objects = self._rng, self.objects
        says_background, says_style = rng.random() < SAY_BACKGROUND, rng.random() < SAY_STYLE
        if self._wordings and rng.random() < self.reword:
            spoken = self._pick(self._style_names[style]) if says_style else None
            ground = BACKGROUNDS[background] if says_background else None
            said = [(objects[i], colour) for i, colour in things]
            text = self._wordings.say(rng, said, relation, ground, spoken)
            if self._fits is None or self._fits(text):
                return text, says_background, says_style
        bare = rng.random() < (0.15 if says_background else 0.6)
        first = objects[things[0][0]]
        if kind in ("single_object", "colors"):
            text = captions.noun_phrase(rng, first, things[0][1], bare)
        elif kind == "counting":
            text = captions.counted(rng, first, len(things))
        else:
            second = objects[things[1][0]]
            a = captions.noun_phrase(rng, first, things[0][1], bare)
            b = captions.noun_phrase(rng, second, things[1][1], bare)
            text = captions.related(rng, a, relation, b) if relation else f"{a} and {b}"
        if says_background:
            text = captions.ground(rng, text, BACKGROUNDS[background])
        spoken = None
        if says_style:
            names = self._style_names[style]
            spoken = names[0] if rng.random() < 0.75 else self._pick(names)
        return captions.finish(rng, text, spoken, opener=not bare), says_background, says_style

    def sample(self) -> Scene:
        """The next scene."""
        kind, style, things, relation, (size, places), background = self._draw()
        caption, says_background, says_style = self._caption(kind, style, things, relation, background)
        objects = tuple(
            SceneObject(self.objects[i].name, colour, size, x, y)
            for (i, colour), (x, y) in zip(things, places, strict=True)
        )
        return Scene(
            kind,
            BACKGROUNDS[background].name,
            self.styles[style],
            objects,
            relation,
            caption,
            says_background,
            says_style,
        )

    def batch(self, n: int) -> SceneBatch:
        """The next n scenes as arrays and captions: the same scenes that n calls of sample() would give."""
        ground = np.empty(n, np.int64)
        sprite = np.full((n, SLOTS), -1, np.int64)
        sides = np.zeros((n, SLOTS), np.int64)
        xy = np.zeros((n, SLOTS, 2), np.int64)
        texts, styles = [], len(self.styles)
        for row in range(n):
            kind, style, things, relation, (size, places), background = self._draw()
            texts.append(self._caption(kind, style, things, relation, background)[0])
            ground[row] = background
            count = len(things)
            sprite[row, :count] = [sprite_index(i, style, colour, styles) for i, colour in things]
            sides[row, :count] = size
            xy[row, :count] = places
        return SceneBatch(ground, sprite, sides, xy, texts)

    def to_batch(self, scenes: list[Scene]) -> SceneBatch:
        """Scenes -> arrays, for scenes of this generator's objects and styles."""
        order = {o.name: o.index for o in self.objects}
        names = [b.name for b in BACKGROUNDS]
        sprite = np.full((len(scenes), SLOTS), -1, np.int64)
        sides, xy = np.zeros_like(sprite), np.zeros((len(scenes), SLOTS, 2), np.int64)
        for row, scene in enumerate(scenes):
            style = self.styles.index(scene.style)
            for slot, obj in enumerate(scene.objects):
                sprite[row, slot] = sprite_index(order[obj.name], style, obj.colour, len(self.styles))
                sides[row, slot] = obj.size
                xy[row, slot] = obj.x, obj.y
        ground = np.array([names.index(s.background) for s in scenes], np.int64)
        return SceneBatch(ground, sprite, sides, xy, [s.caption for s in scenes])


_COLOUR_SLOT = {None: 0} | {name: i + 1 for i, name in enumerate(COLOUR_NAMES)}
VARIANTS = len(_COLOUR_SLOT)  # as drawn, and each colour


def sprite_index(obj: int, style: int, colour: str | None, n_styles: int) -> int:
    """Row of a sprite bank: objects, then styles, then colours (0 = as drawn)."""
    return (obj * n_styles + style) * VARIANTS + _COLOUR_SLOT[colour]
