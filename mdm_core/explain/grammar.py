"""What a prompt asks for as no caption of the training ever did: negation, and counts on two things."""

from __future__ import annotations

from collections.abc import Sequence

NEGATIONS = frozenset("no not without never none nothing except minus lacking isn don doesn".split())


def negated(words: Sequence[str]) -> str:
    """The first word that takes something away, "" where there is none."""
    return next((word for word in words if word in NEGATIONS), "")


def sentences(words: Sequence[str], counted: Sequence[tuple[str, str]], things: int, most: int) -> list[str]:
    """What to say about the grammar of a prompt, a sentence each.

    words: of the prompt, in lower case. counted: (number, thing) pairs of different things of which there is more than
    one. things: how many different things are named. most: of how many kinds the captions count more than one.
    """
    said = []
    if word := negated(words):
        said.append(f"It cannot read “{word}”: what you name, it may draw. Name only what you want.")
    if things > 1 and len(counted) > (most if most > 1 else 0):
        number, thing = counted[-1]
        said.append(
            f"It learnt to count one kind of thing, or to place two single ones: “{number} {thing}” beside "
            "another thing may come out wrong."
        )
    elif things > 2:
        said.append(f"It learnt pictures of one or two kinds of things; here are {things}.")
    return said
