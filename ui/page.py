"""The layout of the studio: what stands where, and which event calls which handler."""

import json
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from ui import assemble, theme
from ui.assemble import markup
from ui.bring import opening, upload
from ui.export import export
from ui.fields import Ask, Pick, Range, Whole
from ui.inspector import lookups
from ui.learn import learn
from ui.server import address, guard
from ui.server import form as limits
from ui.server.form import Bound
from ui.server.line import PLACES
from ui.server.studio import Studio
from ui.stage.component import Notice, Static, TokenGrid, when_over

HERE = Path(__file__).parent
GRID = (16, 16)  # of the shipped model: what limits are derived from until a model is open
TITLE = "Chisel"

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

KEPT = """<p class="cz-kept" role="status"></p>
<button type="button" class="cz-link cz-unlock" data-press="unlock" hidden>Unlock</button>"""


def head(grid: tuple[int, int] | None = None) -> str:
    """What the page's scripts must know, and the scripts; `grid` is (rows, columns) of the opened model."""
    facts = {
        "grid": grid,
        "pictureBytes": upload.MAX_BYTES,
        "runBytes": opening.largest_run(grid or GRID),
        "promptCharacters": limits.PROMPT_CHARACTERS,
    }
    return f'<meta name="chisel" content="{escape(json.dumps(facts))}">\n{assemble.scripts("main.js")}'


def launch_arguments(
    embed: Iterable[str] = (), grid: tuple[int, int] | None = None, root: str = ""
) -> dict[str, Any]:
    """What `Blocks.launch` must be told for this page: its looks, and that it stays at home.

    `embed` names the origins that may show it in a frame, `root` is the prefix that a proxy puts before it; what a
    saved run of this `grid` may weigh decides how much may arrive.
    """
    return {
        "theme": theme.build(),
        "css": assemble.styles(),
        "head": head(grid),
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
        "mcp_server": False,
        "root_path": address.prefix(root),
        **guard.launch_arguments(embed, opening.largest_body(grid or GRID)),
    }


def build(get_pipeline: Callable[[], Any], sample: dict[str, Any] | None = None) -> gr.Blocks:
    """The page over the pipeline that `get_pipeline` returns.

    `sample` holds the opened model's own sampling defaults (`SampleConfig` as a dict): the form starts there.
    """
    studio = Studio(get_pipeline)
    bring = opening.Opening(studio)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        Static(markup("layout/header.html"), "header")
        with gr.Row(elem_id="workbench", equal_height=False):
            with gr.Column(elem_id="controls", scale=0, min_width=280):
                Static(markup("layout/tasks.html"), "tasks", elem_id="tasks")
                inputs, generate, stop, notice, seed = _controls(studio, bring, sample or {})
            with gr.Column(elem_id="stage", scale=1, min_width=320):
                grid = TokenGrid(
                    elem_id="grid", server_functions=[*studio.functions(), *lookups.functions(studio)]
                )
                export.panel(studio)
        ask = Ask(None, visible=False)
        act = gr.Button("Act", elem_id="act", elem_classes="cz-unseen")  # pressed by stage/ask.js
        run = gr.on(
            [generate.click, inputs[0].submit, act.click],
            studio.generate,
            [*inputs, ask],
            [grid, notice, generate, stop, seed],
            js="(...values) => window.chisel ? window.chisel.before(values) : values",
            api_name="generate",
            show_progress="hidden",
            trigger_mode="once",
            concurrency_id="model",
            concurrency_limit=None,  # each enters its handler at once and waits in studio.line
        )
        when_over(run, generate, stop)
        opening.wire(bring, inputs, [grid, notice, generate, stop])
        stop.click(studio.stop, None, None, queue=False, show_progress="hidden", api_name="stop")
        _nudge()
    page.queue(max_size=4 * PLACES, default_concurrency_limit=1, api_open=False)
    guard.bound_messages(page)
    page.studio = studio
    return page


def _nudge() -> None:
    """A button that layout/listening.js presses when answers are not read: its event opens the stream anew."""
    gr.Button("Listen", elem_id="nudge", elem_classes="cz-unseen").click(
        lambda: None,
        None,
        None,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="multiple",
        concurrency_limit=None,
    )


def _controls(
    studio: Studio, bring: opening.Opening, sample: dict[str, Any]
) -> tuple[list[Any], Any, Any, Notice, Any]:
    """The left column; the inputs come back in the order of `limits.check_run`."""
    Static(markup("hands/tools.html"), "buttons", elem_id="tools", elem_classes="cz-edit")
    with gr.Column(elem_id="ask", min_width=0):
        prompt = gr.Textbox(
            EXAMPLES[0],
            label="Prompt",
            placeholder="What would you like to see?",
            lines=1,
            max_lines=5,
            elem_id="prompt",
            autofocus=False,
        )
        learn.hint(studio)
        with gr.Row(elem_id="chips", elem_classes="cz-create"):
            for text in EXAMPLES:
                _chip(text, prompt)
        learn.palette(studio)
    with gr.Column(elem_id="edit", elem_classes="cz-edit", min_width=0):
        Static(markup("hands/edit.html"), "buttons", elem_id="edit-actions")
        opening.panel(bring)
    with gr.Row(elem_id="go"):
        generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=3, min_width=0)
        stop = gr.Button("Stop", elem_id="stop", interactive=False, scale=1, min_width=0)
    Static(KEPT, "buttons", elem_id="kept", elem_classes="cz-create")
    notice = Notice(elem_id="notice")
    with gr.Column(elem_id="learn", elem_classes="cz-learn", min_width=0):
        learn.panel(studio)
    settings, seed = _settings(sample)
    return [prompt, *settings], generate, stop, notice, seed


def _chip(text: str, prompt: gr.Textbox) -> None:
    """A small button that fills the prompt."""
    chip = gr.Button(text, size="sm", elem_classes="chip", min_width=0, scale=0)
    chip.click(
        None,
        None,
        prompt,
        js=f"() => {json.dumps(text)}",
        show_progress="hidden",
        api_visibility="private",
    )


def _settings(sample: dict[str, Any]) -> tuple[list[Any], gr.Number]:
    """Seed, steps, guidance, editing, and the rest folded away; in the order of `limits.check_run`."""

    def field(bound: Bound, name: str, info: str | None = None, elem_id: str | None = None) -> Range:
        return _field(limits.of_model(bound, sample.get(name)), info, elem_id)

    with gr.Column(elem_id="settings", min_width=0):
        with gr.Row(elem_id="seed-row"):
            seed = Whole(0, label="Seed", precision=0, elem_id="seed", scale=1, min_width=0)
            dice = gr.Button("Roll", elem_id="dice", scale=0, min_width=64)
            # read by the browser alone, see before() in stage/ask.js
            gr.Checkbox(False, label="Keep", elem_id="keep-seed", scale=0, min_width=0, container=False)
        dice.click(
            None,
            None,
            seed,
            js="() => window.chisel.roll()",
            show_progress="hidden",
            api_visibility="private",
        )
        steps = field(limits.STEPS, "steps", elem_id="steps")
        guidance = field(limits.GUIDANCE, "guidance", elem_id="guidance")
        editing = gr.Checkbox(
            sample.get("edit", "overwrite") != "off",
            label="Editing",
            info="Let the model change tokens it no longer believes.",
            elem_id="editing",
        )
        with gr.Accordion("Advanced", open=False, elem_id="advanced"):
            temperature = field(limits.TEMPERATURE, "temperature", "Below 1 plays safe, above 1 dares more.")
            order = Pick(
                list(limits.ORDERS),
                value=sample.get("order", "confidence"),
                label="Order",
                info="Which masked tokens come first.",
            )
            schedule = Pick(
                list(limits.SCHEDULES),
                value=sample.get("schedule", "cosine"),
                label="Schedule",
                info="How many tokens per step.",
            )
            gumbel = field(
                limits.GUMBEL, "gumbel", "Gumbel noise on the order, fading to 0 by the last step."
            )
            mode = Pick(
                list(limits.EDIT_MODES),
                value="remask" if sample.get("edit") == "remask" else "overwrite",
                label="Edit mode",
                info="Replace at once, or mask again (then without polish passes).",
                elem_id="edit-mode",
            )
            threshold = field(
                limits.EDIT_THRESHOLD, "edit_threshold", "How sure the model must be of the new token."
            )
            margin = field(
                limits.EDIT_MARGIN, "edit_margin", "How much likelier than the old one it must be."
            )
            mode.input(
                None,
                mode,
                None,
                js="(mode) => document.querySelector('#polish').classList.toggle('is-idle', mode === 'remask')",
                show_progress="hidden",
                api_visibility="private",
            )
            budget = field(limits.EDIT_BUDGET, "edit_budget", "Largest share of set tokens edited per step.")
            polish = field(
                limits.POLISH, "polish", "Edit-only passes once every token is set.", elem_id="polish"
            )
    inputs = [seed, steps, guidance, editing, temperature, order, schedule, gumbel]
    return [*inputs, mode, threshold, margin, budget, polish], seed


def _field(bound: Bound, info: str | None = None, elem_id: str | None = None) -> Range:
    """The slider of one bounded number."""
    return Range(
        bound.low,
        bound.high,
        bound.default,
        step=bound.step,
        label=bound.name,
        info=info,
        elem_id=elem_id,
        buttons=[],
    )
