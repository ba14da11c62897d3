"""The Learn task, and what helps a visitor to learn elsewhere: the words the model knows, hints about a prompt.

panel(studio, facts)            the Learn task: the place with its chapters, the tour, the lessons
count(studio)                   beside the prompt
hint(studio), palette(studio)   under the prompt, for a model that names what it knows
"""

import re
from typing import Any

import gradio as gr

from mdm_core.facts import Facts
from mdm_core.paths import shipped
from ui import opened
from ui.assemble import markup
from ui.learn import chapters
from ui.learn.lesson import lesson
from ui.learn.place import place
from ui.prompt import words
from ui.stage.component import Static

LESSONS = shipped("teaching") / "README.md"
SHOW = re.compile(r"<!-- show: ([a-z0-9= ]+) -->")
HINT = '<p class="cz-prompt-hint" role="status" hidden></p>'
COUNT = '<p class="cz-count"></p>'
NARRATOR = '<p class="cz-voice cz-say" role="status"></p>'


def panel(studio: Any, facts: Facts) -> None:
    """The components of the Learn task for a model: the place, the tour, the chapters, the reading for teachers."""
    told, lessons = chapters.suiting(facts), opened.has_lessons(facts) and LESSONS.is_file()
    place.put(studio, told, lessons)
    pieces = {}
    for chapter in told:
        with gr.Column(elem_id=f"pieces-{chapter.name}", min_width=0) as column:
            chapter.put(studio)
        pieces[chapter.name] = (chapter, lesson.made_of(column.children))
    if lessons:
        with gr.Column(elem_id="chapter-lessons", elem_classes="cz-chapter", min_width=0):
            gr.Markdown(linked(LESSONS.read_text(encoding="utf-8")), elem_id="lessons")
    Static(markup("learn/place/onward.html"), "onward", elem_id="onward")
    with gr.Row(elem_id="learn-foot", equal_height=False):
        lesson.put(studio, pieces)
        Static(markup("learn/tour.html"), "tour", elem_id="tour")
    Static(NARRATOR, "narrator", elem_id="narrator")


def linked(text: str) -> str:
    """The lessons with links in place of their comments <!-- show: ... -->, which elsewhere nobody sees.

    What a link shows is said as in `step=edit view=changes`; learn/show_me.js does it.
    """
    return SHOW.sub(lambda found: f"[Show me](#show:{','.join(found[1].split())})", text)


def hint(studio: Any) -> None:
    """Under the prompt: a kind word about words that the model does not know."""
    Static(HINT, "hint", elem_id="hint", server_functions=[words.understand(studio), words.offers(studio)])


def count(studio: Any) -> None:
    """Beside the prompt: how much of it there is, and may be."""
    Static(COUNT, "count", elem_id="count", server_functions=[words.measure(studio)])


def palette(studio: Any) -> None:
    """All that the model knows, folded away."""
    Static(
        markup("prompt/palette.html"),
        "palette",
        elem_id="palette",
        server_functions=[words.palette(studio)],
    )
