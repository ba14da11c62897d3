"""The stage of the studio as one Gradio component: canvas, timeline and inspector.

The template is static: nothing a visitor types is ever put into it, the JavaScript writes text by
textContent. The component's value is one message of `ui.frames`; the browser keeps all frames of a run and
scrubs them itself.
"""

import time
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
SCRIPTS = (
    "frames.js",
    "paint.js",
    "overlays.js",
    "timeline.js",
    "sheet.js",
    "tools.js",
    "zoom.js",
    "runs.js",
    "patches.js",
    "lookup.js",
    "inspector.js",
    "ask.js",
    "keep.js",
    "token_grid.js",
    "actions.js",
)


def _html(name: str) -> str:
    return (HERE / "html" / name).read_text(encoding="utf-8")


TEMPLATE = _html("stage.html").replace("<!-- inspector -->", _html("inspector.html"))


class TokenGrid(gr.HTML):
    """The stage. Its value is a message of `ui.frames`, or None before the first run."""

    def __init__(self, value: Any = None, **kwargs: Any) -> None:
        script = "\n".join((HERE / "js" / name).read_text(encoding="utf-8") for name in SCRIPTS)
        kwargs = {"html_template": TEMPLATE, "js_on_load": script, "apply_default_css": False, **kwargs}
        super().__init__(value=value, **kwargs)

    def preprocess(self, payload: Any) -> None:
        """Nothing the browser holds is read back: the server keeps no picture and trusts none."""
        return None

    def postprocess(self, value: Any) -> Any:
        """The message as it is: a dict of the wire format, or None."""
        return value

    def api_info(self) -> dict[str, Any]:
        """The message is an object, for those who call the endpoint themselves."""
        return {"type": "object", "description": "one message of the wire format in ui/frames.py"}


class Static(gr.HTML):
    """A piece of the page that never changes from the server's side: a template and the script that wakes it."""

    def __init__(self, template: str, script: str = "", **kwargs: Any) -> None:
        super().__init__(html_template=template, js_on_load=script, apply_default_css=False, **kwargs)

    def get_block_name(self) -> str:
        """Drawn as plain HTML."""
        return "html"

    def preprocess(self, payload: Any) -> None:
        """Nothing comes back."""
        return None


class Notice(gr.HTML):
    """One sentence under the Generate button, written as text, so that it may quote what a visitor typed."""

    def __init__(self, **kwargs: Any) -> None:
        script = """
            const line = element.querySelector(".cz-notice");
            watch("value", () => {
                line.textContent = String(props.value?.text ?? "");
            });
            // a complaint is over as soon as the visitor goes on
            const clear = () => { line.textContent = ""; };
            document.addEventListener("input", clear);
            for (const name of ["ask", "run", "edit", "task"]) document.addEventListener(`chisel:${name}`, clear);
        """
        template = '<p class="cz-notice" role="alert"></p>'
        super().__init__(
            value=None, html_template=template, js_on_load=script, apply_default_css=False, **kwargs
        )

    def postprocess(self, value: Any) -> dict[str, Any]:
        """The text with a number that differs each time: the same sentence twice is still said twice."""
        return {"text": "" if value is None else str(value), "said": time.monotonic_ns()}

    def api_info(self) -> dict[str, Any]:
        """An object with the sentence under "text"."""
        return {
            "type": "object",
            "description": 'the sentence for the visitor under "text", empty when all is well',
        }


OVER = "() => window.chisel && window.chisel.ended()"
FREE = (
    '[{ __type__: "update", interactive: true }, { __type__: "update", interactive: false, value: "Stop" }]'
)


def when_over(event: Any, generate: gr.Button, stop: gr.Button) -> None:
    """Tells the stage that a model event is over, also when the queue itself refused or lost it.

    In that case no handler of ours has the last word about the two buttons: they are set free here.
    """
    event.then(None, None, None, js=OVER)
    event.failure(None, None, [generate, stop], js=f"() => {{ ({OVER})(); return {FREE}; }}")
