"""What a model knows by name, read from its card, and what a prompt holds that it does not know.

The card of a model folder (`config.json`, section `card`) names the objects and styles it was trained on and, under
`words`, their plurals, synonyms and categories, the backgrounds, colours, numbers and relations
(`trainer/scenes/words.py` writes it). Nothing here decides what is drawn: any prompt may be sampled, and this
module only says, kindly, which words the model never met and what it knows that is near.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mdm_core.explain import grammar
from mdm_core.explain.kin import kin, sign
from mdm_core.explain.spelling import plural, singular, spelt_like

MOST_WORDS = 200  # of a prompt that are looked at
MOST_NEAR = 3  # suggestions for one unknown word
MOST_LOOKED_UP = 6  # unknown words of one prompt that are compared with all names
MOST_TOLD = 3  # unknown words that the sentence names
LONGEST_NAME = 6  # words of the longest name that is looked for

# English words that carry no picture of their own; a prompt with them needs no hint.
QUIET = frozenset(
    "a an the and or of on in at by to for from with is are be it its there this that these those some any my your "
    "his her their our me i we you he she they s let see like would could can please show draw paint make create "
    "generate want give picture pictures image images photo drawing painting illustration art style background "
    "scene front side one two three four as into have has having just only also too very really nice good here "
    "where which who what t".split()
)
# Words for places and numbers: known ones are near every unknown one.
PLACES = frozenset(
    "next beside near behind between inside within around through across beyond opposite against among "
    "touching holding wearing riding eating".split()
)
MANY = frozenset(
    "five six seven eight nine ten eleven twelve thirteen twenty thirty forty fifty hundred thousand dozen many "
    "several few lots multiple plenty".split()
)


# How a word that the model never met is told, before the names that are offered for it.
SAID = {
    "meaning": "I do not know “{}”. Near it: ",
    "spelling": "I do not know “{}”. Did you mean ",
    "sign": "For {} write ",
}


@dataclass(frozen=True)
class Thing:
    """An object that the model was trained on."""

    name: str
    category: str = ""
    plural: str = ""
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Known:
    """A name found in a prompt: prompt[start:end] means `name`, one of `kind`."""

    start: int
    end: int
    kind: str  # "object", "style", "background", "colour", "number" or "relation"
    name: str


@dataclass(frozen=True)
class Unknown:
    """A word the model never met: prompt[start:end], and known names near it, nearest first.

    how: they are near by "meaning", only by "spelling", or the word is a "sign" (an emoji) that goes by this name.
    """

    start: int
    end: int
    word: str
    near: tuple[str, ...] = ()
    how: str = "meaning"


@dataclass(frozen=True)
class Understanding:
    """What a prompt names, and what to tell the visitor about it: nothing where `parts` are empty.

    `parts` in order are pieces of text and, where known names are offered for a word, its `Unknown`: whoever shows
    them may make something to press of each name of `near`, and need not search the text for them.
    """

    known: tuple[Known, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    parts: tuple[str | Unknown, ...] = ()
    nothing: bool = False  # it holds words, and none of them names a thing that the model knows

    @property
    def sentence(self) -> str:
        """The parts as plain text, the offered names one after another."""
        return "".join(", ".join(p.near) if isinstance(p, Unknown) else p for p in self.parts)

    @property
    def objects(self) -> list[str]:
        """Names of the objects found, in the prompt's order."""
        return [k.name for k in self.known if k.kind == "object"]


@dataclass
class Vocabulary:
    """The names a model knows. Empty for a model whose card names nothing: then every prompt is left in peace."""

    things: list[Thing] = field(default_factory=list)
    styles: dict[str, list[str]] = field(default_factory=dict)  # name -> other names
    backgrounds: dict[str, list[str]] = field(default_factory=dict)
    colours: list[str] = field(default_factory=list)
    numbers: dict[str, list[str]] = field(default_factory=dict)
    relations: dict[str, list[str]] = field(default_factory=dict)
    fillers: frozenset[str] = frozenset()  # words of the captions that name nothing
    clues: dict[str, list[str]] = field(default_factory=dict)  # "bamboo" -> ["panda"]
    others: dict[str, str] = field(default_factory=dict)  # things the model was not taught -> their category
    counts: int = 1  # of how many kinds of things the captions count more than one
    whole: bool = True  # False where the card names objects alone: a word it lacks may be known all the same

    def __post_init__(self) -> None:
        self._forms: dict[tuple[str, ...], tuple[str, str]] = {}  # words of a name -> (kind, name)
        for kind, names in (
            ("relation", self.relations),
            ("number", self.numbers),
            ("style", self.styles),
            ("background", self.backgrounds),
            ("colour", {c: [] for c in self.colours}),
        ):
            for name, also in names.items():
                for form in (name, *also):
                    self._forms.setdefault(_split(form), (kind, name))
        for thing in self.things:  # an object's own name goes before another's synonym
            for form in (thing.name, thing.plural or plural(thing.name)):
                self._forms[_split(form)] = ("object", thing.name)
        for thing in self.things:
            for form in thing.synonyms:
                self._forms.setdefault(_split(form), ("object", thing.name))
                self._forms.setdefault(_split(plural(form)), ("object", thing.name))
        self._forms.pop((), None)
        # colours whose plural is a thing: an orange
        self._either = {c for c in self.colours if self._forms.get(_split(plural(c)), ("",))[0] == "object"}
        self._spelt = {" ".join(words): name for words, (_, name) in self._forms.items()}
        self._names = {thing.name for thing in self.things}
        # what a thing is at heart: a "top hat" is a hat, a "cup of coffee" a cup, and coffee
        self._heads: dict[str, list[str]] = {}
        for called, (kind, name) in self._forms.items():
            if kind == "object" and len(called) > 1:
                heads = {called[called.index("of") - 1], called[-1]} if "of" in called[1:] else {called[-1]}
                for head in heads:
                    self._heads.setdefault(head, []).append(name)
        self._objects = {
            called[0]: name
            for called, (kind, name) in self._forms.items()
            if kind == "object" and len(called) == 1
        }

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Vocabulary:
        """Read a card; a part of it that is missing or of another shape is taken as empty, for it only advises."""
        words = card.get("words")
        words = words if isinstance(words, dict) else {}
        told = words.get("objects")
        told = told if isinstance(told, dict) else {}
        things = []
        for name in _strings(card.get("objects")):
            category, _, names = str(told.get(name, "")).partition(":")
            also = [n.strip() for n in names.split(",") if n.strip()]
            things.append(Thing(name, category.strip(), also[0] if also else "", tuple(also[1:])))
        style_names = _lists(words.get("styles"))
        styles = {s: style_names.get(s, []) for s in _strings(card.get("styles"))}
        others = {n: c for c, group in _lists(words.get("others")).items() for n in group}
        return cls(
            things,
            styles,
            _lists(words.get("backgrounds")),
            _strings(words.get("colours")),
            _lists(words.get("numbers")),
            _lists(words.get("relations")),
            frozenset(_strings(words.get("fillers"))),
            _lists(words.get("clues")),
            others,
            counts if isinstance(counts := words.get("counts"), int) else 1,
            bool(words),
        )

    def __bool__(self) -> bool:
        return bool(self.things)

    def sections(self) -> list[tuple[str, list[str]]]:
        """All there is to insert into a prompt, by heading; objects by category, the largest category first."""
        by_category: dict[str, list[str]] = {}
        for thing in self.things:
            by_category.setdefault(thing.category or "object", []).append(thing.name)
        objects = sorted(by_category.items(), key=lambda item: -len(item[1]))
        rest = [
            ("numbers", list(self.numbers)),
            ("colours", list(self.colours)),
            ("backgrounds", list(self.backgrounds)),
            ("styles", list(self.styles)),
            ("relations", list(self.relations)),
        ]
        return [(name, words) for name, words in [*objects, *rest] if words]

    # ---- reading a prompt ---------------------------------------------------------------------------------

    def understand(self, prompt: str) -> Understanding:
        """Known names, unknown words and what to say about them. Never refuses anything."""
        if not self or not isinstance(prompt, str):
            return Understanding()
        words = _words(prompt)[:MOST_WORDS]
        known: list[Known] = []
        unknown: list[Unknown] = []
        doubtful = False  # a word was met that the card does not name
        i = 0
        while i < len(words):
            lengths = range(min(LONGEST_NAME, len(words) - i), 0, -1)
            length, found = next(((n, it) for n in lengths if (it := self._at(words, i, n))), (0, None))
            if found:
                kind, name = found
                known.append(Known(words[i][1], words[i + length - 1][2], kind, name))
            else:
                word, start, end = words[i]
                quiet = word in QUIET or word in self.fillers or word in grammar.NEGATIONS
                if not quiet:
                    near, how = self._near(words, i) if len(unknown) < MOST_LOOKED_UP else ((), "meaning")
                    if near or self.whole:
                        unknown.append(Unknown(start, end, prompt[start:end], near, how))
                    doubtful = True
            i += max(length, 1)
        parts = self._parts(known, unknown, doubtful)
        parts += tuple(self._limits(words, known, bool(parts)))
        return Understanding(
            tuple(known), tuple(unknown), parts, self.whole and doubtful and not self._things(known)
        )

    def _at(self, words: list[tuple[str, int, int]], i: int, n: int) -> tuple[str, str] | None:
        return self._forms.get(tuple(w for w, _, _ in words[i : i + n]))

    def _near(self, words: list[tuple[str, int, int]], i: int) -> tuple[tuple[str, ...], str]:
        """Known names near an unknown word, and how they are near: by meaning, and only then by spelling."""
        word = words[i][0]
        if not word[0].isalnum():
            return _first(self._named(word)), "sign"
        if word in PLACES:
            return tuple(self.relations)[: MOST_NEAR + 1], "meaning"
        if word in MANY or word.isdigit():
            return tuple(self.numbers)[-1:], "meaning"
        one = singular(word)
        if category := self.others.get(word, self.others.get(one, self._category(one))):
            found = sorted(
                (t.name for t in self.things if t.category == category),
                key=lambda name: name not in self.clues.get(one, []),
            )
            return _first(found), "meaning"
        joined = []
        for j in (i, i - 1):  # one name written as two words
            if 0 <= j < len(words) - 1:
                both = words[j][0] + words[j + 1][0]
                joined += [name for form, name in self._spelt.items() if form.replace(" ", "") == both]
        if joined:
            return _first(joined), "spelling"
        if found := self._meant(word, one):
            return _first(found), "meaning"
        if kin(word) == () or kin(one) == ():  # nothing is near, and an accident of spelling is no help
            return (), "meaning"
        return _first(spelt_like(word, self._spelt)), "spelling"

    def _meant(self, word: str, one: str) -> list[str]:
        """Names that mean nearly the same: things that are one at heart, our own table, the clues of the card."""
        found = self._heads.get(word, []) + self._heads.get(one, [])
        # a goldfish is a fish
        found += [
            name
            for short, name in self._objects.items()
            if len(short) >= 4 and word != short and word.endswith(short)
        ]
        told = kin(word) if kin(word) is not None else kin(one)
        if told is None:
            found += self.clues.get(word, []) + self.clues.get(one, [])
        elif told:
            found = [name for name in told if name in self._names] + found
        else:
            found = []  # known to be near nothing
        if told != () and len(found) < 2 and len(one) >= 4:  # and a ball may be a basketball
            found += [name for long, name in self._objects.items() if long != one and long.endswith(one)]
        return found

    def _named(self, text: str) -> list[str]:
        """The thing that a sign shows: by our own table, or by the longest known name within its Unicode name."""
        if sign(text) in self._names:
            return [sign(text)]
        words = _split(unicodedata.name(text, ""))
        spans = sorted(
            ((i, j) for i in range(len(words)) for j in range(i + 1, len(words) + 1)),
            key=lambda s: s[0] - s[1],
        )
        found = [self._forms.get(words[i:j], ("", "")) for i, j in spans]
        return [name for kind, name in found if kind == "object"][:1]

    def _limits(self, words: list[tuple[str, int, int]], known: list[Known], after: bool) -> list[str]:
        """What the captions never said, as sentences; a card that names objects alone does not tell its captions."""
        if not self.whole:
            return []
        things = {k.name for k in known if k.kind == "object"}
        single = next(iter(self.numbers), "")
        counted: dict[str, str] = {}
        number = ""
        for k in known:  # a colour may stand between a number and its thing
            if k.kind == "object" and number:
                counted[k.name] = number
            number = (
                k.name
                if k.kind == "number" and k.name != single
                else number
                if k.name in self.colours
                else ""
            )
        plurals = {t.name: t.plural or plural(t.name) for t in self.things if t.name in counted}
        told = [(number, plurals[name]) for name, number in counted.items()]
        said = grammar.sentences([word for word, _, _ in words], told, len(things), self.counts)
        return [f"{' ' if after or i else ''}{sentence}" for i, sentence in enumerate(said)]

    def _category(self, word: str) -> str:
        return word if any(t.category == word for t in self.things) else ""

    def _things(self, known: list[Known]) -> list[Known]:
        """Those that name a thing to draw: a colour may, an orange."""
        return [k for k in known if k.kind == "object" or k.name in self._either]

    def _parts(self, known: list[Known], unknown: list[Unknown], doubtful: bool) -> tuple[str | Unknown, ...]:
        things = self._things(known)
        some = ", ".join(t.name for t in self.things[:3])
        if not things and not doubtful:
            return (f"Name a thing to draw, for example: {some}.",) if known else ()
        told = _distinct(unknown)[:MOST_TOLD]
        signs = any(u.how == "sign" and u.near for u in told)
        said: list[list[str | Unknown]] = [["I read words, not signs."]] if signs else []
        said += [[SAID[u.how].format(u.word), u, "?" if u.how == "spelling" else "."] for u in told if u.near]
        if lone := [f"“{u.word}”" for u in told if not u.near]:
            words = " or ".join([", ".join(lone[:-1]), lone[-1]] if lone[1:] else lone)
            said.append([f"I do not know {words}."])
        if not things:
            examples = "" if any(u.near for u in told) else f", among them {some}"
            said.append([f"I was taught {len(self.things)} things by their English names{examples}."])
        return tuple(part for i, sentence in enumerate(said) for part in ([" "] if i else []) + sentence)


# ---- words ----------------------------------------------------------------------------------------------


def _words(prompt: str) -> list[tuple[str, int, int]]:
    """(word in lower case, start, end) of each run of letters or digits, and of each sign such as an emoji."""
    out = []
    for match in re.finditer(r"[^\W_]+|[^\w\s]", prompt):
        text, start, end = match[0], match.start(), match.end()
        if text[0].isalnum():
            out.append((unicodedata.normalize("NFKC", text).lower(), start, end))
        elif unicodedata.category(text) == "So":
            out.append((text, start, end))
    return out


def _split(name: str) -> tuple[str, ...]:
    return tuple(word for word, _, _ in _words(name.lstrip("~")))


def _first(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))[:MOST_NEAR]


def _distinct(unknown: list[Unknown]) -> list[Unknown]:
    """Each word once, where it stands first; those with something near it first, because they help."""
    once: dict[str, Unknown] = {}
    for u in unknown:
        once.setdefault(unicodedata.normalize("NFKC", u.word).lower(), u)
    return sorted(once.values(), key=lambda u: not u.near)


def _strings(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str) and v] if isinstance(value, list | tuple) else []


def _lists(value: Any) -> dict[str, list[str]]:
    return {str(k): _strings(v) for k, v in value.items()} if isinstance(value, dict) else {}
