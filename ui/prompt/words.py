"""What the model knows, for the page: the palette of its names, and a hint about words that it does not know."""

from collections.abc import Callable
from typing import Any

from mdm_core.explain.vocabulary import Unknown, Vocabulary
from ui.server.form import PROMPT_CHARACTERS, Refused
from ui.server.studio import answered


def palette(studio: Any) -> Callable[[Any], dict[str, Any]]:
    """What prompt/palette.js may call."""

    def palette(data: Any) -> dict[str, Any]:
        """{"sections": [[heading, [name, ...]], ...]}: everything that can be put into a prompt."""
        return answered(lambda: {"sections": [list(part) for part in vocabulary(studio).sections()]})

    return palette


def understand(studio: Any) -> Callable[[Any], dict[str, Any]]:
    """What prompt/hint.js may call. Nothing here stands between a visitor and a picture."""

    def understand(data: Any) -> dict[str, Any]:
        """A prompt -> {"parts": [text or {"start", "end", "word", "near": [name, ...]}, ...]}, [] for no hint.

        start and end count UTF-16 units, as JavaScript does: prompt.slice(start, end) is the word.
        """
        return answered(lambda: _understood(vocabulary(studio), data))

    return understand


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
    return {"parts": [_sent(prompt, part) for part in vocabulary.understand(prompt).parts]}


def _sent(prompt: str, part: str | Unknown) -> str | dict[str, Any]:
    if isinstance(part, str):
        return part
    start, end = (_units(prompt[:at]) for at in (part.start, part.end))
    return {"start": start, "end": end, "word": part.word, "near": list(part.near)}


def _units(text: str) -> int:
    """The length of a text in JavaScript: a sign such as an emoji counts as two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
