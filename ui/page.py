"""The layout of the studio: what stands where, and which event calls which handler."""

import json
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mdm_core.declared import Control
from mdm_core.facts import Facts
from ui import assemble, opened, theme
from ui.assemble import markup
from ui.bring import opening, upload
from ui.export import export
from ui.fields import Ask, Pick, Range, Whole
from ui.inspector import lookups
from ui.learn import learn
from ui.server import address, guard, runs
from ui.server import form as limits
from ui.server.line import PLACES
from ui.server.studio import Studio, endpoint
from ui.stage.component import Notice, Static, TokenGrid, when_over

HERE = Path(__file__).parent
TITLE = "Chisel"

NOTE = """<p class="cz-note">Say what the whole picture shows, not only what is masked.</p>
<p class="cz-note cz-note-upload" hidden></p>"""
SEED_NOTE = f"""<p class="cz-told">{limits.SEED_CONTROL.help} Roll draws another. Without Keep, pressing Generate
twice rolls by itself.</p>"""
SLOW_NOTE = """<p class="cz-told">This processor has no fast bf16, so that every step takes longer. Fewer steps are
quicker.</p>"""
KEPT = """<p class="cz-kept" role="status"></p>
<button type="button" class="cz-link cz-unlock" data-press="unlock" hidden>Unlock</button>"""


def head(facts: Facts, groups: Sequence[int] | None = None) -> str:
    """What the page's scripts must know, and the scripts; the arguments are those of `opened.told`."""
    told = {
        **opened.told(facts, groups),
        "pictureBytes": upload.MAX_BYTES,
        "runBytes": runs.largest_run(facts.grid),
        "promptCharacters": limits.PROMPT_CHARACTERS,
    }
    return f'<meta name="chisel" content="{escape(json.dumps(told))}">\n{assemble.scripts("main.js")}'


def launch_arguments(
    embed: Iterable[str] = (),
    facts: Facts | None = None,
    root: str = "",
    groups: Sequence[int] | None = None,
) -> dict[str, Any]:
    """What `Blocks.launch` must be told for this page: its looks, and that it stays at home.

    `embed` names the origins that may show it in a frame, `root` is the prefix that a proxy puts before it; what a
    saved run on the grid of the opened model may weigh decides how much may arrive. `facts` is as for `build`,
    `groups` as for `opened.told`.
    """
    facts = facts or opened.shipped()
    return {
        "theme": theme.build(),
        "css": assemble.styles(),
        "head": head(facts, groups),
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
        **guard.launch_arguments(embed, runs.largest_body(facts.grid)),
    }


def build(get_pipeline: Callable[[], Any], facts: Facts | None = None) -> gr.Blocks:
    """The page over the pipeline that `get_pipeline` returns.

    `facts` are those of the opened model (default: of the shipped weights), known before its weights are read: the
    form starts at its defaults, and what means nothing there is left out.
    """
    facts = facts or opened.shipped()
    studio = Studio(get_pipeline)
    bring = opening.Opening(studio)
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        Static(markup("layout/header.html"), "header", elem_id="header")
        with gr.Row(elem_id="workbench", equal_height=False):
            with gr.Column(elem_id="controls", scale=0, min_width=280):
                Static(markup("layout/tasks.html"), "tasks", elem_id="tasks")
                inputs, generate, stop, notice, seed = _controls(studio, bring, facts)
            with gr.Column(elem_id="learn", elem_classes="cz-learn", min_width=0):
                learn.panel(studio, facts)
            with gr.Column(elem_id="stage", scale=1, min_width=320):
                asked = [*studio.functions(), *lookups.functions(studio), *export.functions(studio)]
                grid = TokenGrid(elem_id="grid", server_functions=asked)
        # on a phone, where the header has no room for it
        Static(markup("layout/foot.html"), "foot", elem_id="foot")
        ask = Ask(None, visible=False)
        act = gr.Button("Act", elem_id="act", elem_classes="cz-unseen")  # pressed by stage/ask/ask.js
        run = gr.on(
            [generate.click, inputs[0].submit, act.click],
            endpoint(studio.generate),
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
        _fill(inputs)
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


def _fill(inputs: list[Any]) -> None:
    """A button that stage/ask/form.js presses: the form shows what the run on the canvas was made with."""
    gr.Button("Fill in", elem_id="fill", elem_classes="cz-unseen").click(
        None,
        inputs,
        inputs,
        js="(...values) => window.chisel.filled(values)",
        show_progress="hidden",
        api_visibility="private",
    )


def _controls(
    studio: Studio, bring: opening.Opening, facts: Facts
) -> tuple[list[Any], Any, Any, Notice, Any]:
    """The left column for a model; the inputs come back in the order of `limits.FIELDS`."""
    values, named = opened.initial(facts), opened.has_words(facts)
    Static(markup("hands/tools.html"), "buttons", elem_id="tools", elem_classes="cz-edit")
    with gr.Column(elem_id="ask", min_width=0):
        prompt = gr.Textbox(
            values["prompt"],
            label="Prompt",
            placeholder="What would you like to see?",
            lines=1,
            max_lines=5,
            elem_id="prompt",
            autofocus=False,
        )
        learn.count(studio)
        if named:
            learn.hint(studio)
        notice = Notice(elem_id="notice")
        Static(NOTE, "note", elem_id="note", elem_classes="cz-edit")
        # the prompt box starts with the first: one click gives a picture
        with gr.Row(elem_id="chips", elem_classes="cz-create"):
            for text in opened.examples(facts):
                _chip(text, prompt)
    with gr.Column(elem_id="edit", elem_classes="cz-edit", min_width=0):
        Static(markup("hands/edit.html"), "buttons", elem_id="edit-actions")
        opening.panel(bring)
    with gr.Row(elem_id="go"):
        generate = gr.Button("Generate", variant="primary", elem_id="generate", scale=3, min_width=0)
        stop = gr.Button("Stop", elem_id="stop", interactive=False, scale=1, min_width=0)
    Static(KEPT, "buttons", elem_id="kept", elem_classes="cz-create")
    Static(markup("twin/twin.html"), "twin", elem_id="twin", elem_classes="cz-create")
    if named:  # under Generate, which it would otherwise push out of the window as it opens
        learn.palette(studio)
    made = {"prompt": prompt, **_settings(values, facts)}
    return [made[name] for name in limits.FIELDS], generate, stop, notice, made["seed"]


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


def _settings(values: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """The seed and the controls of all settings by name: some at once, the rest folded away, the finest twice."""
    made: dict[str, Any] = {}

    def controls(where: str) -> None:
        for control in limits.CONTROLS.values():
            if control.where == where:
                made[control.name] = _control(control, values, facts)

    with gr.Column(elem_id="settings", min_width=0):
        with gr.Row(elem_id="seed-row"):
            seed = Whole(
                values["seed"],
                label=limits.SEED_CONTROL.label,
                precision=0,
                elem_id="seed",
                scale=1,
                min_width=0,
            )
            dice = gr.Button("Roll", elem_id="dice", scale=0, min_width=64)
            # read by the browser alone, see before() in stage/ask/ask.js
            gr.Checkbox(False, label="Keep", elem_id="keep-seed", scale=0, min_width=0, container=False)
        Static(SEED_NOTE, "buttons", elem_id="seed-note")
        dice.click(
            None,
            None,
            seed,
            js="() => window.chisel.roll()",
            show_progress="hidden",
            api_visibility="private",
        )
        controls("main")
        if opened.is_slow():
            _fewer_steps(values["steps"], made["steps"])
        with gr.Accordion("Advanced", open=False, elem_id="advanced"):
            controls("advanced")
            if any(control.where == "more" for control in limits.CONTROLS.values()):
                with gr.Accordion("More", open=False, elem_id="more"):
                    controls("more")
    for name, field in made.items():
        _idle(name, field)
    return {"seed": seed, **made}


def _fewer_steps(usual: int, steps: Any) -> None:
    """Says why pictures take long on this machine, and offers two thirds of the usual steps."""
    fewer = max(1, 2 * usual // 3)
    with gr.Row(elem_id="slow"):
        Static(SLOW_NOTE, "buttons")
        button = gr.Button(f"{fewer} steps", size="sm", elem_id="fewer-steps", min_width=88, scale=0)
    button.click(None, None, steps, js=f"() => {fewer}", show_progress="hidden", api_visibility="private")


def _control(control: Control, values: dict[str, Any], facts: Facts) -> Any:
    """A slider, a list or a switch; what the model cannot do is switched off, and says why."""
    shared: dict[str, Any] = {
        "label": control.label,
        "elem_id": control.name.replace("_", "-"),
        "elem_classes": ["is-idle"] if _is_idle(control, values) else [],
    }
    value = values[control.name]
    if control.name == limits.EDITING and not facts.revises:
        return gr.Checkbox(value, info=opened.NO_EDITING, interactive=False, **shared)
    if control.switch:
        return gr.Checkbox(value, info=control.help, **shared)
    if control.choices:
        return Pick(list(control.choices), value=value, info=control.help, **shared)
    # a link may have brought the form more than is of use
    most = max(
        value, min(limits.highest(control, facts), control.high if control.slide is None else control.slide)
    )
    return Range(control.low, most, value, step=control.step, info=control.help, buttons=[], **shared)


def _is_idle(control: Control, values: dict[str, Any]) -> bool:
    """True while another control's value makes this one count for nothing."""
    return control.needs is not None and values[control.needs[0]] not in control.needs[1]


def _idle(name: str, field: Any) -> None:
    """Dims the controls that count for nothing while this one says what it says."""
    needing = {
        f"#{control.name.replace('_', '-')}": control.needs[1]
        for control in limits.CONTROLS.values()
        if control.needs is not None and control.needs[0] == name
    }
    if needing:
        field.change(
            None,
            field,
            None,
            js=f"(value) => Object.entries({json.dumps(needing)}).forEach(([field, values]) => "
            "document.querySelector(field)?.classList.toggle('is-idle', !values.includes(value)))",
            show_progress="hidden",
            api_visibility="private",
        )
