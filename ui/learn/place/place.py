"""Learn as a place: the tabs of its chapters, and what stands behind each of them: formula, code, model card, paper."""

import inspect
import textwrap
from collections.abc import Mapping
from html import escape
from typing import Any

from ui.assemble import markup
from ui.learn.chapters import Chapter
from ui.server.form import Refused
from ui.server.studio import answered
from ui.stage.component import Static

LESSONS = "lessons"  # the reading for teachers, last of the tabs
LESSONS_TITLE = "Three lessons of ten minutes"
LONGEST = 1200  # characters of one entry of the card


def put(studio: Any, chapters: tuple[Chapter, ...], lessons: bool) -> None:
    """Places the tabs and the head of the chosen chapter."""

    def behind(data: Any) -> dict[str, Any]:
        """See `told`."""
        return answered(lambda: told(studio, chapters, data))

    Static(template(chapters, lessons), "place", elem_id="place", server_functions=[behind])


def template(chapters: tuple[Chapter, ...], lessons: bool) -> str:
    """The place as HTML; nothing in it comes from a visitor."""
    named = [(c.name, str(n), c.short, c.title) for n, c in enumerate(chapters, 1)]
    if lessons:
        named.append((LESSONS, "", "For teachers", LESSONS_TITLE))
    tabs = "".join(map(_tab, named))
    formulas = "".join(
        f'<div data-formula="{c.name}">{markup(c.formula)}</div>' for c in chapters if c.formula
    )
    return (
        markup("learn/place/place.html").replace("<!-- tabs -->", tabs).replace("<!-- formulas -->", formulas)
    )


def _tab(named: tuple[str, str, str, str]) -> str:
    name, number, short, title = map(escape, named)
    digit = f"<i>{number}</i> " if number else ""
    return f'<li><button type="button" data-open="{name}" data-title="{title}">{digit}{short}</button></li>'


def told(studio: Any, chapters: tuple[Chapter, ...], data: Any) -> dict[str, Any]:
    """What stands behind a chapter.

    {"chapter": name, "what": "code" | "card"} -> {"code": [[where, text], ...]} or {"card": [[name, value], ...]}
    """
    data = data if isinstance(data, dict) else {}
    if data.get("what") == "card":
        return {"card": card(studio.pipe.facts)}
    found = [chapter for chapter in chapters if chapter.name == data.get("chapter")]
    if data.get("what") != "code" or not found:
        raise Refused("There is no such chapter: reload the page and try again.")
    return {"code": [[_where(part), textwrap.dedent(inspect.getsource(part))] for part in found[0].code]}


def _where(part: Any) -> str:
    return f"{part.__module__.replace('.', '/')}.py: {part.__qualname__}"


def card(facts: Any) -> list[list[str]]:
    """The model card as lines, [name, value] each: what the page knows for certain, then the card's own entries."""
    rows, columns = facts.grid
    lines = [
        ["name", facts.name],
        ["licence", facts.licence or "not told"],
        ["picture", f"{columns * facts.patch} × {rows * facts.patch} pixels, {columns} × {rows} tokens"],
        ["codebook", f"{facts.vocab_size:,} tokens"],
        ["may revise tokens that are set", "yes" if facts.revises else "no"],
        ["fingerprint", facts.fingerprint],
    ]
    told_already = {"name", "licence", "revises", "words"}  # words: the palette shows them
    rest = [(name, value) for name, value in facts.card.items() if name not in told_already]
    return [*lines, *([name.replace("_", " "), _words(value)[:LONGEST]] for name, value in rest)]


def _words(value: Any) -> str:
    """An entry of the card on one line, as people read it."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name.replace('_', ' ')}: {_words(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_words, value))
    return str(value)
