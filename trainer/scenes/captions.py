"""Wording: a scene's truth -> one of many ways to say it in English.

Captions never lie: the object (by name or a synonym that belongs to it alone), the number, the colours and
the relation are always said. Background and style may be left out, or said by an alias.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from mdm_core.explain.spelling import article
from trainer.scenes.atlas import AtlasObject
from trainer.scenes.colours import Background

T = TypeVar("T")
WORDS = {1: "one", 2: "two", 3: "three", 4: "four"}
NUMBERS = {**WORDS, 5: "five", 6: "six"}  # of worlds that show more than four things
SMALL, BIG = ("small", "little", "tiny"), ("big", "large", "huge")
NEXT_TO = (
    "{a} next to {b}",
    "{a} beside {b}",
    "{a} and {b}",
    "{b} and {a}",
    "{b} next to {a}",
    "{a} by the side of {b}",
)
SYNONYM_SHARE = 0.25

# relation -> ways to say "A relation B"; the second list turns it round, so that B is named first
RELATIONS = {
    "left of": (
        ("to the left of", "left of", "on the left of"),
        ("{b} with {a} to its left", "{b}, {a} to the left of it"),
    ),
    "right of": (
        ("to the right of", "right of", "on the right of"),
        ("{b} with {a} to its right", "{b}, {a} to the right of it"),
    ),
    "above": (
        ("above", "over", "on top of"),
        ("{b} with {a} above it", "{b} under {a}", "{b}, {a} above it"),
    ),
    "below": (
        ("below", "under", "beneath"),
        ("{b} with {a} below it", "{b} over {a}", "{b}, {a} below it"),
    ),
}

# {s} subject; {c} the ground's name ("teal", "meadow"); {a} its article; {p} "on" or "in"
WITH_PLAIN = (
    ("{s} on {a} {c} background", 9),
    ("{s} on {c}", 3),
    ("{s}, {c} background", 3),
    ("{s}, {c}", 1),
    ("{c} background with {s}", 2),
    ("{a} {c} background with {s}", 1),
    ("{s} against {a} {c} background", 2),
    ("{s} in front of {a} {c} background", 1),
)
WITH_SCENE = (
    ("{s} {p} {a} {c}", 8),
    ("{s} with {a} {c} behind", 1),
    ("{s}, {c}", 2),
    ("{a} {c} with {s}", 2),
    ("{s} in front of {a} {c}", 1),
    ("{s}, {c} background", 1),
)
STYLE_AFTER = (
    "{t} in {y} style",
    "{t}, {y} style",
    "{t} in the {y} style",
    "{t}, drawn in {y} style",
    "{t} ({y} style)",
)
STYLE_BEFORE = ("{y} style, {t}", "{y} style: {t}", "{y} drawing of {t}", "in {y} style, {t}")
OPENERS = ("draw ", "a picture of ", "an image of ", "show me ", "please draw ", "paint ", "make ", "I want ")


def _expand(weighted: tuple[tuple[str, int], ...]) -> list[str]:
    return [template for template, weight in weighted for _ in range(weight)]


_PLAIN, _SCENE = _expand(WITH_PLAIN), _expand(WITH_SCENE)


def _pick(rng: Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]


def noun_phrase(rng: Random, obj: AtlasObject, colour: str | None = None, bare: bool = False) -> str:
    """One of the object, with its article unless bare: 'a strawberry', 'a red car', 'corn'."""
    name = obj.name
    if obj.synonyms and rng.random() < SYNONYM_SHARE:
        name = _pick(rng, obj.synonyms)
    mass = name[0] == "~"
    if mass:
        name = name[1:]
    if colour:
        name = colour + " " + name
    return name if mass or bare else article(name) + " " + name


def counted(rng: Random, obj: AtlasObject, number: int) -> str:
    """'three strawberries', '3 strawberries', 'one strawberry'."""
    word = NUMBERS[number] if rng.random() < 0.8 else str(number)
    return f"{word} {obj.name if number == 1 else obj.plural}"


def two_counts(rng: Random, groups: list[tuple[AtlasObject, str | None, int]]) -> str:
    """'a red apple and two green pears'. groups: (object, colour, how many), two of them."""
    said = []
    for obj, colour, number in groups:
        if number == 1:
            said.append(noun_phrase(rng, obj, colour) if rng.random() < 0.7 else _one(obj, colour))
            continue
        word = NUMBERS[number] if rng.random() < 0.8 else str(number)
        said.append(" ".join(w for w in (word, colour, obj.plural) if w))
    if rng.random() < 0.4:
        said.reverse()
    return f"{said[0]} {_pick(rng, ('and', 'and', 'and', 'with'))} {said[1]}"


def _one(obj: AtlasObject, colour: str | None) -> str:
    return " ".join(w for w in ("one", colour, obj.name) if w)


def small_and_big(rng: Random, small: AtlasObject, big: AtlasObject) -> str:
    """'a small cat next to a big car'."""
    a, b = (
        f"a {_pick(rng, words)} {noun_phrase(rng, obj, bare=True)}"
        for obj, words in ((small, SMALL), (big, BIG))
    )
    return _pick(rng, NEXT_TO).format(a=a, b=b)


def related(rng: Random, first: str, relation: str, second: str) -> str:
    """'a cat to the left of a dog' and its variants, the turned-round ones in one case of four."""
    straight, turned = RELATIONS[relation]
    if rng.random() < 0.25:
        return _pick(rng, turned).format(a=first, b=second)
    return f"{first} {_pick(rng, straight)} {second}"


def ground(rng: Random, subject: str, background: Background) -> str:
    """The subject and where it is."""
    name = background.name
    if background.aliases and rng.random() < SYNONYM_SHARE:
        name = _pick(rng, background.aliases)
    template = _pick(rng, _SCENE if background.scene else _PLAIN)
    return template.format(s=subject, c=name, a=article(name), p=background.place)


def finish(rng: Random, text: str, style: str | None, opener: bool) -> str:
    """Add the style, perhaps a request ('draw ...'), and vary the case."""
    if opener and rng.random() < 0.12:
        text = _pick(rng, OPENERS) + text
        text = _pick(rng, STYLE_AFTER).format(t=text, y=style) if style else text
    elif style:
        text = _pick(rng, STYLE_AFTER if rng.random() < 0.75 else STYLE_BEFORE).format(t=text, y=style)
    roll = rng.random()
    if roll < 0.15:
        text = text[0].upper() + text[1:]
    elif roll < 0.2:
        text = text[0].upper() + text[1:] + "."
    return text
