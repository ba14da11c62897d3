"""What the page tells of the opened model, and which of its features mean something there: all of it from `Facts`."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from mdm_core import device, families
from mdm_core.explain.vocabulary import Vocabulary
from mdm_core.facts import Facts
from mdm_core.pipeline import SHIPPED
from ui.server import form

EXAMPLES_SHOWN = 6
NO_EDITING = "Off: this model was never trained to doubt a token that is set."


@lru_cache(maxsize=1)
def shipped() -> Facts:
    """Of the weights that come with Chisel: what a page is about that was told of no others."""
    return families.facts(SHIPPED)


def examples(facts: Facts) -> tuple[str, ...]:
    """Prompts to start with, as many as are shown; one that the page would refuse is none."""
    return tuple(text for text in facts.examples if _fits(text))[:EXAMPLES_SHOWN]


def has_words(facts: Facts) -> bool:
    """The model names what it knows, so that there is a palette, and hints about words it does not know."""
    return bool(Vocabulary.from_card(dict(facts.card)))


def has_lessons(facts: Facts) -> bool:
    """The lessons are about the things of our own world."""
    return facts.family == families.OURS and has_words(facts)


def has_lab(facts: Facts) -> bool:
    """The lab breaks our own pictures, and heals them by editing."""
    return facts.family == families.OURS and facts.revises


def has_attention(facts: Facts) -> bool:
    """Our own family tells where a cell looks."""
    return facts.family == families.OURS


def is_slow() -> bool:
    """The model runs on a processor that multiplies bf16 no faster than fp32."""
    where = device.default()
    return where.type == "cpu" and device.fast_dtype(where) == torch.float32


def initial(facts: Facts) -> dict[str, Any]:
    """What the form starts with, by the names of its fields and in their order."""
    first = (*examples(facts), "")[0]
    shown = form.able(form.shown(form.allowed(facts.defaults)), facts)
    values = {"prompt": first, "seed": 0, **shown}
    return {name: values[name] for name in form.FIELDS}


def told(facts: Facts, groups: Sequence[int] | None = None) -> dict[str, Any]:
    """What the page's scripts know of the model; `groups` are the sizes that groups of its codes can have."""
    return {
        "name": facts.name,
        "licence": facts.licence,
        "grid": list(facts.grid),
        "patch": facts.patch,
        "vocab": facts.vocab_size,
        "revises": facts.revises,
        "exact": facts.local_tokens,
        "things": len(Vocabulary.from_card(dict(facts.card)).things),
        "looks": has_attention(facts),
        "groups": None if groups is None else list(groups),
        "form": initial(facts),
    }


def _fits(text: str) -> bool:
    try:
        return bool(form.prompt(text))
    except form.Refused:
        return False
