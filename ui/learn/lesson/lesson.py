"""A chapter as one HTML file: what the page fills with the visitor's own runs, and hands over as a download.

The file is the chapter's own sections and scripts over the studio's own canvas and timeline. Whatever a chapter would
ask the server is answered from what was answered before (learn/lesson/recorder.js). It holds no address of any server,
asks nothing of the network (its own policy forbids it), and what was typed reaches it as packed data alone.
"""

import html
import re
from functools import lru_cache
from typing import Any

from ui import assemble
from ui.assemble import markup
from ui.learn.chapters import Chapter
from ui.learn.place import place
from ui.server.form import Refused
from ui.server.studio import answered
from ui.stage.component import Static

DATA = "%chisel-data%"  # where the browser puts the runs and answers
STYLES = (
    "layout/page.css",
    "layout/controls.css",
    "stage/stage.css",
    "stage/time/timeline.css",
    "stage/kept/shelf.css",
    "inspector/inspector.css",
)
# a button that leads to another chapter, which the file has not got: there it is words
ELSEWHERE = re.compile(r"<button[^>]*\bdata-chapter-link\b[^>]*>(.*?)</button>", re.DOTALL)
AFTER = ("learn/lesson/lesson.css",)

# (name of the piece, its template), those of one chapter
Pieces = tuple[tuple[str, str], ...]


def put(studio: Any, pieces: dict[str, tuple[Chapter, Pieces]]) -> None:
    """Places the button that saves a chapter; `pieces` are the chapters by name, with what they are made of."""

    def lesson(data: Any) -> dict[str, Any]:
        """{"chapter": name} -> {"name": of the file, "page": HTML with DATA in it}; Refused where there is none."""
        return answered(lambda: told(studio, pieces, data))

    Static(markup("learn/lesson/save.html"), "lesson", elem_id="lesson", server_functions=[lesson])


def told(studio: Any, pieces: dict[str, tuple[Chapter, Pieces]], data: Any) -> dict[str, Any]:
    """See `put`."""
    name = data.get("chapter") if isinstance(data, dict) else None
    if not isinstance(name, str) or name not in pieces:
        raise Refused("This part cannot be saved as a file: open one of the chapters.")
    chapter, made_of = pieces[name]
    behind = place.told(studio, (chapter,), {"chapter": name, "what": "code"})["code"]
    card = place.card(studio.pipe.facts)
    return {"name": f"chisel-lesson-{name}.html", "page": page(chapter, made_of, behind, card)}


def page(chapter: Chapter, pieces: Pieces, code: list[list[str]], card: list[list[str]]) -> str:
    """The file of a chapter, but for its data."""
    sections = "\n".join(
        f'<div data-piece="{html.escape(name)}">{_alone(template)}</div>' for name, template in pieces
    )
    lines = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in card)
    source = "".join(
        f"<h3>{html.escape(where)}</h3><pre><code>{html.escape(text)}</code></pre>" for where, text in code
    )
    parts = {
        "<!-- title -->": html.escape(chapter.title),
        "/* styles */": _styles(),
        "<!-- chapter -->": sections,
        "<!-- formula -->": markup(chapter.formula) if chapter.formula else "",
        "<!-- code -->": source,
        "<!-- card -->": lines,
        "<!-- scripts -->": _scripts(),
    }
    # one pass over the template: what is filled in is never looked at again
    marks = re.compile("|".join(map(re.escape, parts)))
    return marks.sub(lambda found: parts[found[0]], markup("learn/lesson/lesson.html"))


def _alone(template: str) -> str:
    """A section without ways to what the file has not got."""
    return ELSEWHERE.sub(r"<span>\1</span>", template)


@lru_cache(maxsize=1)
def _styles() -> str:
    learn = tuple(
        name for name in assemble.STYLES if name.startswith("learn/") and not name.endswith("tour.css")
    )
    return assemble.styles((*STYLES, *learn, *AFTER))


@lru_cache(maxsize=1)
def _scripts() -> str:
    return assemble.scripts("learn/lesson/lesson.js")


def made_of(children: list[Any]) -> Pieces:
    """The pieces among the components that a chapter has placed."""
    return tuple((child.piece, child.html_template) for child in children if isinstance(child, Static))
