"""The Learn task, and what helps a visitor to learn elsewhere: the words the model knows, hints about a prompt.

panel(studio, ...)              in the left column of the Learn task: tour, class mode, GCE explorer, lab, lessons
count(studio)                   beside the prompt
hint(studio), palette(studio)   under the prompt, for a model that names what it knows
"""

from typing import Any

import gradio as gr

from mdm_core.paths import shipped
from ui.assemble import markup
from ui.inspector import lookups
from ui.learn import explorer
from ui.learn.lab import Lab
from ui.prompt import words
from ui.stage.component import Static

LESSONS = shipped("teaching") / "README.md"
HINT = '<p class="cz-prompt-hint" role="status" hidden></p>'
COUNT = '<p class="cz-count"></p>'
NARRATOR = '<p class="cz-voice cz-say" role="status"></p>'


class Live(Static):
    """A static piece of the page that the server also tells things to: its value is a message for its script."""

    def postprocess(self, value: Any) -> Any:
        """The message as it is: a dict, or None."""
        return value

    def api_info(self) -> dict[str, Any]:
        """The message is an object."""
        return {"type": "object", "description": "one message of the piece's own kind"}


def panel(studio: Any, lab: bool = True, lessons: bool = True) -> None:
    """The components of the Learn task; lab and lessons are about our own world, and may be left out."""
    Static(markup("learn/tour.html"), "tour", elem_id="tour")
    Static(
        markup("learn/explorer.html"),
        "explorer",
        elem_id="explorer",
        server_functions=explorer.functions(lookups.of(studio)),
    )
    if lab:
        _lab(studio)
    if lessons and LESSONS.is_file():
        with gr.Accordion("For teachers: three lessons", open=False, elem_id="lessons"):
            gr.Markdown(LESSONS.read_text(encoding="utf-8"), elem_id="lessons-text")
    Static(NARRATOR, "narrator", elem_id="narrator")


def _lab(studio: Any) -> None:
    lab = Live(markup("learn/lab.html"), "lab", events=("heal",), elem_id="lab")
    lab.heal(
        Lab(studio).heal,
        None,
        lab,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="once",
        concurrency_id="lab",
        concurrency_limit=None,  # each enters its handler at once and waits in studio.line
    )


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
