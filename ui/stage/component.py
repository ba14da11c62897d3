"""The stage of the studio as one Gradio component: canvas, timeline and inspector.

The template is static: nothing a visitor types is ever put into it, the JavaScript writes text by
textContent. The component's value is one message of `ui.server.frames`; the browser keeps all frames of a run and
scrubs them itself.
"""

import time
from typing import Any

import gradio as gr

from ui.assemble import markup, waking

TEMPLATE = markup("stage/stage.html")


class TokenGrid(gr.HTML):
    """The stage. Its value is a message of `ui.server.frames`, or None before the first run."""

    def __init__(self, value: Any = None, **kwargs: Any) -> None:
        kwargs = {
            "html_template": TEMPLATE,
            "js_on_load": waking("grid"),
            "apply_default_css": False,
            **kwargs,
        }
        super().__init__(value=value, **kwargs)

    def preprocess(self, payload: Any) -> None:
        """Nothing the browser holds is read back: the server keeps no picture and trusts none."""
        return None

    def postprocess(self, value: Any) -> Any:
        """The message as it is: a dict of the wire format, or None."""
        return value

    def api_info(self) -> dict[str, Any]:
        """The message is an object, for those who call the endpoint themselves."""
        return {"type": "object", "description": "one message of the wire format in ui/server/frames.py"}


class Static(gr.HTML):
    """A piece of the page that never changes from the server's side, known to main.js by the name `piece`."""

    def __init__(self, template: str, piece: str, events: tuple[str, ...] = (), **kwargs: Any) -> None:
        self.piece = piece
        super().__init__(
            html_template=template, js_on_load=waking(piece, events), apply_default_css=False, **kwargs
        )

    def get_block_name(self) -> str:
        """Drawn as plain HTML."""
        return "html"

    def preprocess(self, payload: Any) -> None:
        """Nothing comes back."""
        return None


class Live(Static):
    """A static piece of the page that the server also tells things to: its value is a message for its script."""

    def postprocess(self, value: Any) -> Any:
        """The message with a number that differs each time, or None: the page hears the same refusal twice."""
        return {**value, "said": time.monotonic_ns()} if isinstance(value, dict) else value

    def api_info(self) -> dict[str, Any]:
        """The message is an object."""
        return {"type": "object", "description": "one message of the piece's own kind"}


class Notice(gr.HTML):
    """One sentence under the prompt, written as text, so that it may quote what a visitor typed."""

    def __init__(self, **kwargs: Any) -> None:
        template = '<p class="cz-notice" role="alert"></p>'
        super().__init__(
            value=None,
            html_template=template,
            js_on_load=waking("notice"),
            apply_default_css=False,
            **kwargs,
        )

    def postprocess(self, value: Any) -> dict[str, Any]:  # type: ignore[override]  # Gradio's is text
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
