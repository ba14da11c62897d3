"""The layout of the studio: what stands where, and which event calls which handler."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ui import limits, theme
from ui.handlers import Studio
from ui.limits import Bound
from ui.token_grid import Notice, TokenGrid

HERE = Path(__file__).parent
TITLE = "Chisel"
STYLES = ("page.css", "form.css", "stage.css", "timeline.css", "inspector.css")

# Shown as chips under the prompt. The first is also what the prompt box starts with: one click gives a
# picture.
EXAMPLES = (
    "three strawberries on a teal background",
    "a panda left of an umbrella",
    "a blue car",
    "a rocket in a starry night",
    "two mushrooms on yellow",
    "a penguin above a pizza",
)

HEADER = (HERE / "html" / "header.html").read_text(encoding="utf-8")


class Range(gr.Slider):
    """A slider whose bounds are checked by `ui.limits`, so that a refusal is our sentence, not a toast."""

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


def css() -> str:
    """The style sheets of the page and of the stage."""
    return "\n".join((HERE / "css" / name).read_text(encoding="utf-8") for name in STYLES)


def launch_arguments() -> dict[str, Any]:
    """What `Blocks.launch` must be told for this page: its looks, and that it stays at home."""
    return {
        "theme": theme.build(),
        "css": css(),
        "favicon_path": str(HERE / "favicon.svg"),
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "allowed_paths": [],
        "max_file_size": "8mb",
        "show_error": True,
        "quiet": True,
        "share": False,
        "pwa": False,
    }


def build(get_pipeline: Callable[[], Any], queue_size: int = 24) -> gr.Blocks:
    """The page over the pipeline that `get_pipeline` returns; at most `queue_size` visitors wait in line."""
    studio = Studio(get_pipeline)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(html_template=HEADER, js_on_load=_theme_script(), apply_default_css=False)
        with gr.Row(elem_id="workbench", equal_height=False):
            with gr.Column(elem_id="controls", scale=0, min_width=280):
                inputs, generate, stop, notice, seed = _controls()
            with gr.Column(elem_id="stage", scale=1, min_width=320):
                grid = TokenGrid(elem_id="grid")
        run = gr.on(
            [generate.click, inputs[0].submit],
            studio.generate,
            inputs,
            [grid, notice, generate, stop, seed],
            js="(...values) => window.chisel ? window.chisel.before(values) : values",
            api_name="generate",
            show_progress="hidden",
            trigger_mode="always_last",
            concurrency_id="model",
            concurrency_limit=1,
        )
        run.then(None, None, None, js="() => window.chisel && window.chisel.ended()")
        stop.click(studio.stop, None, None, queue=False, show_progress="hidden", api_name="stop")
    page.queue(max_size=queue_size, default_concurrency_limit=1)
    return page


def _controls() -> tuple[list[Any], gr.Button, gr.Button, Notice, gr.Number]:
    """The left column; the inputs come back in the order of `limits.check_run`."""
    prompt = gr.Textbox(
        EXAMPLES[0],
        label="Prompt",
        placeholder="What would you like to see?",
        lines=1,
        max_lines=5,
        elem_id="prompt",
        autofocus=False,
    )
    with gr.Row(elem_id="chips"):
        for text in EXAMPLES:
            chip = gr.Button(text, size="sm", elem_classes="chip", min_width=0, scale=0)
            chip.click(
                None,
                None,
                prompt,
                js=f"() => {json.dumps(text)}",
                show_progress="hidden",
                api_visibility="private",
            )
    with gr.Row(elem_id="go"):
        generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=3, min_width=0)
        stop = gr.Button("Stop", elem_id="stop", interactive=False, scale=1, min_width=0)
    notice = Notice(elem_id="notice")
    with gr.Column(elem_id="settings", min_width=0):
        with gr.Row(elem_id="seed-row"):
            seed = Whole(0, label="Seed", precision=0, elem_id="seed", scale=1, min_width=0)
            dice = gr.Button("Roll", elem_id="dice", scale=0, min_width=64)
            keep = gr.Checkbox(
                False, label="Keep", elem_id="keep-seed", scale=0, min_width=0, container=False
            )
        dice.click(
            None,
            None,
            seed,
            js="() => window.chisel.roll()",
            show_progress="hidden",
            api_visibility="private",
        )
        steps = _field(limits.STEPS, "Steps", elem_id="steps")
        guidance = _field(limits.GUIDANCE, "Guidance", elem_id="guidance")
        editing = gr.Checkbox(
            True,
            label="Editing",
            info="Let the model change tokens it no longer believes.",
            elem_id="editing",
        )
        with gr.Accordion("Advanced", open=False, elem_id="advanced"):
            temperature = _field(limits.TEMPERATURE, "Temperature", "Below 1 plays safe, above 1 dares more.")
            order = Pick(
                list(limits.ORDERS), value="confidence", label="Order", info="Which masked tokens come first."
            )
            schedule = Pick(
                list(limits.SCHEDULES), value="cosine", label="Schedule", info="How many tokens per step."
            )
            gumbel = _field(
                limits.GUMBEL, "Order noise", "Gumbel noise on the order, fading to 0 by the last step."
            )
            mode = Pick(
                list(limits.EDIT_MODES),
                value="overwrite",
                label="Edit mode",
                info="Replace at once, or mask again.",
            )
            threshold = _field(
                limits.EDIT_THRESHOLD, "Edit threshold", "How sure the model must be of the new token."
            )
            margin = _field(
                limits.EDIT_MARGIN, "Edit margin", "How much likelier than the old one it must be."
            )
            budget = _field(limits.EDIT_BUDGET, "Edit budget", "Largest share of set tokens edited per step.")
            polish = _field(limits.POLISH, "Polish passes", "Edit-only passes once every token is set.")
    inputs = [prompt, seed, steps, guidance, editing, temperature, order, schedule, gumbel]
    inputs += [mode, threshold, margin, budget, polish]
    del keep  # read by the browser alone, see window.chisel.before
    return inputs, generate, stop, notice, seed


def _field(bound: Bound, label: str, info: str | None = None, elem_id: str | None = None) -> Range:
    """The slider of one bounded number."""
    return Range(
        bound.low,
        bound.high,
        bound.default,
        step=bound.step,
        label=label,
        info=info,
        elem_id=elem_id,
        buttons=[],
    )


def _theme_script() -> str:
    """Light or dark: the system's choice until the visitor makes one, which this browser then remembers."""
    return """
        const apply = (dark) => document.body.classList.toggle("dark", dark);
        const saved = localStorage.getItem("chisel-theme");
        if (saved) apply(saved === "dark");
        element.querySelector(".cz-theme").addEventListener("click", () => {
            const dark = !document.body.classList.contains("dark");
            apply(dark);
            localStorage.setItem("chisel-theme", dark ? "dark" : "light");
        });
    """
