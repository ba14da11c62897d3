"""What the model knows, for the page: the palette of its names, and a hint about words that it does not know."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from mdm_core.vocabulary import Vocabulary
from ui.handlers import answered
from ui.limits import PROMPT_CHARACTERS, Refused


def functions(studio: Any) -> list[Callable[..., Any]]:
    """What js/words.js may call. Nothing here stands between a visitor and a picture."""

    @lru_cache(maxsize=1)
    def vocabulary() -> Vocabulary:
        config = getattr(studio.pipe, "config", None)
        return Vocabulary.from_card(config.card if config is not None else {})

    def palette(data: Any = None) -> dict[str, Any]:
        """{"sections": [[heading, [name, ...]], ...]}: everything that can be put into a prompt."""
        return answered(lambda: {"sections": [[title, names] for title, names in vocabulary().sections()]})

    def understand(data: Any) -> dict[str, Any]:
        """A prompt -> {"sentence": str, "near": [[start, end, word, [name, ...]], ...]}."""
        return answered(lambda: _understood(vocabulary(), data))

    return [palette, understand]


def _understood(vocabulary: Vocabulary, prompt: Any) -> dict[str, Any]:
    if not isinstance(prompt, str) or len(prompt) > PROMPT_CHARACTERS:
        raise Refused(f"Prompts can be up to {PROMPT_CHARACTERS} characters long.")
    said = vocabulary.understand(prompt)
    near = [[u.start, u.end, u.word, list(u.near)] for u in said.unknown if u.near]
    return {"sentence": said.sentence, "near": near[:3]}
