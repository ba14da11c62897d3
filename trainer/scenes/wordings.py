"""Other wordings: what `trainer/scenes/captions.py` does not say, but people do.

A model that has only read templates stumbles over "an apple that is red" and over "strawbery". With
`data.reword=0.3` that share of the training captions is said in one of these ways instead. They keep the rule of
`captions`: the object (by name, synonym, or a keyword that is its alone), the number, the colours and the relation
are always said, and a slip of the finger never makes another word of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from mdm_core.explain.spelling import article
from trainer.scenes.atlas import Atlas, AtlasObject
from trainer.scenes.captions import BIG, NUMBERS, SMALL
from trainer.scenes.colours import COLOUR_NAMES, Background
from trainer.scenes.spec import EMOJI_128, SceneSpec

T = TypeVar("T")
KEYWORD_SHARE, SYNONYM_SHARE, FLUFF_SHARE, SLIP_SHARE = 0.12, 0.3, 0.12, 0.3
FLUFF = ("cute", "nice", "lovely", "beautiful", "pretty", "simple", "single", "funny")
COLOURED = (  # {a} article of the colour, {c} colour, {n} noun, {an} article of the noun
    "{a} {c} {n}",
    "{a} {c} {n}",
    "{a} {c} {n}",
    "{an} {n} that is {c}",
    "{an} {n} in {c}",
    "{an} {n} coloured {c}",
    "{an} {n} painted {c}",
    "{a} {c}-coloured {n}",
    "{a} {c} coloured {n}",
)
ONE = ("one {n}", "a single {n}", "just one {n}", "1 {n}", "only one {n}", "exactly one {n}")
MANY = {
    2: ("a pair of {p}", "a couple of {p}", "2 {p}", "two {p} side by side", "two {p}, nothing else"),
    3: ("a trio of {p}", "3 {p}", "three {p} together", "a group of three {p}"),
    4: ("4 {p}", "four {p} together", "a group of four {p}", "a group of 4 {p}"),
}
ANY_NUMBER = (
    "{w} {p}",
    "exactly {w} {p}",
    "{p}, {w} of them",
    "{w} of the {p}",
    "{w} identical {p}",
    "{p} x{d}",
)
LIES = {  # relation of a to b -> ways to say it
    "left of": (
        "{a} on the left and {b} on the right",
        "to the left of {b} is {a}",
        "{a} left, {b} right",
        "{a} is left of {b}",
        "{a} stands to the left of {b}",
        "{b} and to its left {a}",
        "{a} and to its right {b}",
        "{a}, with {b} to the right",
        "on the left {a}, on the right {b}",
        "{a} next to {b}, on its left side",
    ),
    "above": (
        "{a} at the top and {b} at the bottom",
        "above {b} is {a}",
        "{a} is above {b}",
        "{a} sits on top of {b}",
        "{b} and above it {a}",
        "{a} and below it {b}",
        "{a}, with {b} underneath",
        "{a} higher than {b}",
        "at the top {a}, at the bottom {b}",
        "{b} underneath {a}",
    ),
}
MIRROR = {"right of": "left of", "below": "above"}
BOTH = (
    "{a} and {b}",
    "{b} and {a}",
    "{a} with {b}",
    "{a}, {b}",
    "both {a} and {b}",
    "{a} together with {b}",
    "{a} plus {b}",
    "{a} & {b}",
    "{a} as well as {b}",
    "{a} and also {b}",
)
PLAIN = (  # {t} what is there, {c} ground, {a} its article
    "{t} on {a} {c} background",
    "{t} with {a} {c} background",
    "{t}, background {c}",
    "{t} over {a} {c} backdrop",
    "{t}. The background is {c}",
    "on {a} {c} background there is {t}",
    "on {a} {c} background, {t}",
    "on {c}: {t}",
    "{c} background, {t}",
    "{t} and behind it everything is {c}",
)
SCENE = (
    "{t} {p} the {c}",
    "{t} at the {c}",
    "in {a} {c}, {t}",
    "{a} {c} and {t}",
    "{t} with {a} {c} in the background",
    "{t}, and {a} {c} behind",
    "{a} {c}, and there {t}",
)
STYLE = (
    "{t} as a {y} drawing",
    "{t}, {y}",
    "{t} in a {y} style",
    "{y}-style {t}",
    "{y}: {t}",
    "{t}. Style: {y}",
    "a {y} picture of {t}",
)
SENTENCES = (
    "there is {t}",
    "can you draw {t}?",
    "could you show me {t}?",
    "I would like {t}",
    "{t}, please",
    "a drawing of {t}",
    "picture: {t}",
    "let me see {t}",
    "give me {t}",
    "create {t}",
    "{t}!",
)
NEIGHBOURS = {
    letter: row[max(0, i - 1) : i] + row[i + 1 : i + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for i, letter in enumerate(row)
}


def _pick(rng: Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]


class Wordings:
    """Says scenes in other words. One instance knows every word that a slip must not turn another into."""

    def __init__(self, atlas: Atlas, spec: SceneSpec = EMOJI_128):
        numbers = [NUMBERS[n] for n in spec.counts]
        sizes = (*SMALL, *BIG) if "sizes" in spec.kinds else ()
        spoken = [*COLOUR_NAMES, *numbers, *sizes, *FLUFF, "left", "right", "above", "below", "over", "under"]
        for obj in atlas.objects:
            spoken += [obj.name, obj.plural, *obj.synonyms, *obj.keywords]
        for style in atlas.styles:
            spoken += [style, *atlas.aliases[style]]
        for ground in spec.grounds:
            spoken += [ground.name, *ground.aliases]
        # "a lake" is no speedboat where scenes have lakes; the shipped weights were taught the keywords as they are
        grounds = {word for g in spec.grounds for word in (g.name, *g.aliases)} | set(COLOUR_NAMES)
        self._unsaid = frozenset() if spec is EMOJI_128 else frozenset(w for g in grounds for w in g.split())
        self.known = {word.strip("~,.").lower() for text in spoken for word in text.split()}

    def say(
        self,
        rng: Random,
        things: Sequence[tuple[AtlasObject, str | None]],
        relation: str | None,
        background: Background | None,
        style: str | None,
    ) -> str:
        """A caption. things: (object, colour) of every object in the scene, all alike when they are counted or
        there is one; relation: how the first lies to the second, if that is to be said; background, style: None
        where they are not to be said."""
        counted = len({obj.name for obj, _ in things}) == 1 and (len(things) > 1 or rng.random() < 0.15)
        if counted and things[0][1] is None:
            text = self._number(rng, things[0][0], len(things))
        else:
            said = [self._thing(rng, obj, colour) for obj, colour in things[:2]]
            text = said[0] if len(said) == 1 else self._two(rng, said[0], said[1], relation)
        if background is not None:
            name = _pick(rng, (background.name, *background.aliases))
            form = _pick(rng, SCENE if background.scene else PLAIN)
            text = form.format(t=text, c=name, a=article(name), p=background.place)
        if style:
            text = _pick(rng, STYLE).format(t=text, y=style)
        elif rng.random() < 0.4:
            text = _pick(rng, SENTENCES).format(t=text)
        if rng.random() < SLIP_SHARE:
            text = self.slip(rng, text)
        roll = rng.random()
        if roll < 0.2:
            text = text[0].upper() + text[1:]
        elif roll < 0.25:
            text = text.upper()
        elif roll < 0.35:
            text = text.lower()
        return text

    def _noun(self, rng: Random, obj: AtlasObject) -> str:
        roll = rng.random()
        keywords = [k for k in obj.keywords if k not in self._unsaid] if self._unsaid else obj.keywords
        if keywords and roll < KEYWORD_SHARE:
            return _pick(rng, keywords)
        if obj.synonyms and roll < KEYWORD_SHARE + SYNONYM_SHARE:
            return _pick(rng, obj.synonyms).lstrip("~")
        return obj.name

    def _thing(self, rng: Random, obj: AtlasObject, colour: str | None) -> str:
        noun = self._noun(rng, obj)
        if rng.random() < FLUFF_SHARE:
            noun = f"{_pick(rng, FLUFF)} {noun}"
        if colour:
            return _pick(rng, COLOURED).format(a=article(colour), c=colour, n=noun, an=article(noun))
        roll = rng.random()
        return noun if roll < 0.2 else f"the {noun}" if roll < 0.25 else f"{article(noun)} {noun}"

    def _number(self, rng: Random, obj: AtlasObject, number: int) -> str:
        if number == 1:
            return _pick(rng, ONE).format(n=self._noun(rng, obj))
        form = _pick(rng, MANY.get(number, ANY_NUMBER) if rng.random() < 0.5 else ANY_NUMBER)
        return form.format(w=NUMBERS[number], d=number, p=obj.plural)

    def _two(self, rng: Random, first: str, second: str, relation: str | None) -> str:
        if relation is None:
            return _pick(rng, BOTH).format(a=first, b=second)
        if relation in MIRROR:
            first, second, relation = second, first, MIRROR[relation]
        return _pick(rng, LIES[relation]).format(a=first, b=second)

    def slip(self, rng: Random, text: str) -> str:
        """The text with one letter wrong in one of its longer words, where that makes no other known word."""
        words = text.split(" ")
        long = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
        if not long:
            return text
        i = _pick(rng, long)
        wrong = _misspelt(rng, words[i])
        if wrong.lower() not in self.known:
            words[i] = wrong
        return " ".join(words)


def _misspelt(rng: Random, word: str) -> str:
    """One letter left out, doubled, swapped with the next, or replaced by its neighbour on the keyboard."""
    at = 1 + int(rng.random() * (len(word) - 1))  # the first letter is seldom wrong
    kind = rng.random()
    if kind < 0.35:
        return word[:at] + word[at + 1 :]
    if kind < 0.55:
        return word[:at] + word[at] + word[at:]
    if kind < 0.8 and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    near = NEIGHBOURS.get(word[at].lower())
    return word[:at] + _pick(rng, near) + word[at + 1 :] if near else word
