"""What the model knows, for the page: the palette of its names, and a hint about words that it does not know."""

from collections.abc import Callable
from typing import Any

from mdm_core.vocabulary import Vocabulary
from ui.handlers import answered
from ui.limits import PROMPT_CHARACTERS, Refused


def palette(studio: Any) -> Callable[[Any], dict[str, Any]]:
    """What prompt/palette.js may call."""

    def palette(data: Any) -> dict[str, Any]:
        """{"sections": [[heading, [name, ...]], ...]}: everything that can be put into a prompt."""
        return answered(lambda: {"sections": [list(part) for part in vocabulary(studio).sections()]})

    return palette


def understand(studio: Any) -> Callable[[Any], dict[str, Any]]:
    """What prompt/hint.js may call. Nothing here stands between a visitor and a picture."""

    def understand(data: Any) -> dict[str, Any]:
        """A prompt -> {"sentence": str, "near": [[start, end, word, [name, ...]], ...]}."""
        return answered(lambda: _understood(vocabulary(studio), data))

    return understand


def vocabulary(studio: Any) -> Vocabulary:
    """The words of the studio's model, read from its card once."""
    if getattr(studio, "vocabulary", None) is None:
        config = getattr(studio.pipe, "config", None)
        studio.vocabulary = Vocabulary.from_card(config.card if config is not None else {})
    return studio.vocabulary


def _understood(vocabulary: Vocabulary, prompt: Any) -> dict[str, Any]:
    if not isinstance(prompt, str) or len(prompt) > PROMPT_CHARACTERS:
        raise Refused(f"Prompts can be up to {PROMPT_CHARACTERS} characters long.")
    said = vocabulary.understand(prompt)
    near = [[u.start, u.end, u.word, list(u.near)] for u in said.unknown if u.near]
    return {"sentence": said.sentence, "near": near[:3]}
