"""What the model knows, for the page: the palette of its names, hints about a prompt, and how long it may be."""

import base64
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mdm_core.explain.spelling import plural, singular
from mdm_core.explain.vocabulary import Unknown, Vocabulary
from ui.server.form import PROMPT_CHARACTERS, Refused
from ui.server.frames import jpeg_uri
from ui.server.studio import answered

# Three pictures to start with, as tokens of the shipped weights; `python -m ui.record.offers` makes them.
OFFERS = Path(__file__).with_name("offers.json")
# A small picture of each thing, by the shipped weights; `python -m ui.record.words` makes them.
PICTURES = Path(__file__).with_name("words.json")
SHEET = Path(__file__).with_name("words.webp")


def palette(studio: Any) -> Callable[[Any], dict[str, Any]]:
    """What prompt/palette.js may call."""

    def palette(data: Any) -> dict[str, Any]:
        """{"sections": [[heading, [name, ...]], ...]}: everything that can be put into a prompt.

        Of the weights that drew them also {"pictures": {"sheet": data URI, "side", "columns", "names": [...]}}: the
        n-th name's picture is the n-th of the sheet, side pixels wide, columns in a row.
        """
        return answered(
            lambda: {"sections": [list(part) for part in vocabulary(studio).sections()], **_pictures(studio)}
        )

    return palette


def _pictures(studio: Any) -> dict[str, Any]:
    facts = getattr(studio.pipe, "facts", None)
    told = json.loads(PICTURES.read_text(encoding="utf-8"))
    if told.pop("fingerprint") != getattr(facts, "fingerprint", None):
        return {}
    sheet = base64.b64encode(SHEET.read_bytes()).decode("ascii")
    return {"pictures": {**told, "sheet": f"data:image/webp;base64,{sheet}"}}


def understand(studio: Any) -> Callable[[Any], dict[str, Any]]:
    """What prompt/hint.js may call. Nothing here stands between a visitor and a picture."""

    def understand(data: Any) -> dict[str, Any]:
        """A prompt -> {"parts": [text or {"start", "end", "word", "near": [name, ...]}, ...], "nothing": bool}.

        parts are [] for no hint; nothing: it names no thing that the model knows. Then also {"some": it has a word
        that the model knows, "mended": the prompt with its slips of spelling put right, "" if that names none either}.
        start and end count UTF-16 units, as JavaScript does: prompt.slice(start, end) is the word.
        """
        return answered(lambda: _understood(vocabulary(studio), data))

    return understand


def measure(studio: Any) -> Callable[[Any], dict[str, Any]]:
    """What prompt/count.js may call."""

    def measure(data: Any) -> dict[str, Any]:
        """A prompt -> {"tokens": n, "most": n}, text tokens it has and may have; {} where the model does not say."""
        return answered(lambda: _measured(studio.pipe.prompts, data))

    return measure


def _measured(prompts: Any, prompt: Any) -> dict[str, Any]:
    if not isinstance(prompt, str) or len(prompt) > PROMPT_CHARACTERS:
        raise Refused(f"Prompts can be up to {PROMPT_CHARACTERS} characters long.")
    count, most = getattr(prompts, "count", None), getattr(prompts, "length", None)
    if not callable(count) or not isinstance(most, int):
        return {}
    return {"tokens": int(count(" ".join(prompt.split()))), "most": most}


def offers(studio: Any) -> Callable[[Any], dict[str, Any]]:
    """What prompt/nothing.js may call, where nothing of a prompt is known."""

    def offers(data: Any) -> dict[str, Any]:
        """{"offers": [{"prompt", "image": data URI or ""}, ...]}, three prompts that the opened model draws well."""
        return answered(lambda: {"offers": _offers(studio)})

    return offers


def _offers(studio: Any) -> list[dict[str, str]]:
    pipe, told = studio.pipe, _drawn()
    facts = getattr(pipe, "facts", None)
    if facts is not None and told["fingerprint"] == facts.fingerprint:
        return [
            {
                "prompt": one["prompt"],
                "image": jpeg_uri(pipe.decode(np.array(one["tokens"]).reshape(pipe.grid))),
            }
            for one in told["offers"]
        ]
    return [{"prompt": text, "image": ""} for text in (facts.examples if facts is not None else ())[:3]]


@lru_cache(maxsize=1)
def _drawn() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(OFFERS.read_text(encoding="utf-8"))
    return told


def vocabulary(studio: Any) -> Vocabulary:
    """The words of the studio's model, read from its card once."""
    if getattr(studio, "vocabulary", None) is None:
        # of any family; without a card no word is known or unknown
        facts = getattr(studio.pipe, "facts", None)
        studio.vocabulary = Vocabulary.from_card(facts.card if facts is not None else {})
    return studio.vocabulary


def _understood(vocabulary: Vocabulary, prompt: Any) -> dict[str, Any]:
    if not isinstance(prompt, str) or len(prompt) > PROMPT_CHARACTERS:
        raise Refused(f"Prompts can be up to {PROMPT_CHARACTERS} characters long.")
    understood = vocabulary.understand(prompt)
    told: dict[str, Any] = {
        "parts": [_sent(prompt, part) for part in understood.parts],
        "nothing": understood.nothing,
    }
    if understood.nothing:
        told["some"] = bool(understood.known)
        told["mended"] = _mended(vocabulary, prompt, understood.unknown)
    return told


def _mended(vocabulary: Vocabulary, prompt: str, unknown: Sequence[Unknown]) -> str:
    """The prompt with the likeliest name for each word that is spelt like one, as many of it as were meant."""
    plurals = {t.name: t.plural or plural(t.name) for t in vocabulary.things}
    mended = prompt
    for one in reversed(unknown):
        if one.how == "spelling" and one.near:
            name, word = one.near[0], one.word.lower()
            called = plurals.get(name, name) if singular(word) != word != name else name
            mended = mended[: one.start] + called + mended[one.end :]
    return mended if mended != prompt and not vocabulary.understand(mended).nothing else ""


def _sent(prompt: str, part: str | Unknown) -> str | dict[str, Any]:
    if isinstance(part, str):
        return part
    start, end = (_units(prompt[:at]) for at in (part.start, part.end))
    return {"start": start, "end": end, "word": part.word, "near": list(part.near)}


def _units(text: str) -> int:
    """The length of a text in JavaScript: a sign such as an emoji counts as two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
