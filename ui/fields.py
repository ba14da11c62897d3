"""Gradio's own fields with their values left as they came: `ui.server.form` checks them, a refusal is our sentence."""

from typing import Any

import gradio as gr


class Range(gr.Slider):
    """A slider whose bounds are checked by `ui.server.form`, so that a refusal is our sentence, not a toast."""

    def get_block_name(self) -> str:
        """Drawn by Gradio's own slider."""
        return "slider"

    def preprocess(self, payload: Any) -> Any:
        """The value as it came: the handler checks it."""
        return payload


class Whole(gr.Number):
    """A number field whose value reaches the handler as it was typed, whole or not."""

    def get_block_name(self) -> str:
        """Drawn by Gradio's own number field."""
        return "number"

    def preprocess(self, payload: Any) -> Any:
        """The value as it came: the handler checks it."""
        return payload


class Pick(gr.Dropdown):
    """A dropdown whose value is checked by the handler."""

    def get_block_name(self) -> str:
        """Drawn by Gradio's own dropdown."""
        return "dropdown"

    def preprocess(self, payload: Any) -> Any:
        """The value as it came: the handler checks it."""
        return payload


class Ask(gr.JSON):
    """What the canvas asks for, filled in by the browser as an event starts; never seen. See `ui.server.asks`."""

    def get_block_name(self) -> str:
        """Known to Gradio as its JSON field."""
        return "json"

    def preprocess(self, payload: Any) -> Any:
        """The value as it came: the handler checks it."""
        return payload
