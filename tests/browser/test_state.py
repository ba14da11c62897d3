"""Nothing is lost: the form goes along with the picture, a reload finds everything again, Stop can be carried on."""

import json
import re

from hands import TOKENS, edit, hold, make, point, press, until

from ui.record.browser import CANVAS, arrived, dataset, settled

UNDO = ".cz-ways [data-press=undo]"
FORM = """() => ({
    prompt: document.querySelector("#prompt textarea").value,
    seed: document.querySelector("#seed input").value,
    steps: document.querySelector("#steps input[type=number]").value,
    editing: document.querySelector("#editing input").checked,
})"""


def form(page, **wanted):
    """Waits until the form shows this."""
    page.wait_for_function(
        f"wanted => {{ const shown = ({FORM})(); "
        "return Object.entries(wanted).every(([name, value]) => shown[name] === value); }",
        arg=wanted,
    )


def reload(page):
    page.reload()
    arrived(page)


def test_undo_and_redo_bring_prompt_seed_and_settings_with_the_picture(studio):
    make(studio, steps=2, seed=11, prompt="a blue car", editing=False)
    first = studio.evaluate(TOKENS)
    make(studio, steps=3, seed=12, prompt="a panda left of an umbrella")
    undo = studio.locator(UNDO)
    assert undo.is_visible()  # in Create too
    undo.click()
    form(studio, prompt="a blue car", seed="11", steps="2", editing=False)
    assert studio.evaluate(TOKENS) == first
    # what is pressed next works with that prompt
    edit(studio, "mask", 3)
    studio.mouse.click(*point(studio, 120))
    until(studio, masked="9")
    press(studio, "repaint")
    assert studio.evaluate("() => window.chisel.run().prompt") == "a blue car"
    for _ in range(2):  # the repainted picture, and the hole
        studio.locator(f"{UNDO}:enabled").click()
    until(studio, drafted="0")
    form(studio, prompt="a blue car", seed="11")
    studio.locator(".cz-ways [data-press=redo]:enabled").click()
    until(studio, masked="9")


def test_what_was_typed_since_stays_typed(studio):
    make(studio, steps=2, seed=11, prompt="a blue car")
    make(studio, steps=2, seed=12, prompt="two mushrooms on yellow")
    studio.locator("#prompt textarea").fill("a rocket")
    studio.locator(UNDO).click()
    form(studio, prompt="a rocket", seed="11")


def test_opening_a_saved_run_brings_its_seed_and_settings(studio, tmp_path):
    make(studio, steps=2, seed=77, prompt="a blue car", editing=False)
    with studio.expect_download() as waiting:
        studio.locator(".ex-button[data-as=json]:enabled").click()
    path = tmp_path / "run.json"
    waiting.value.save_as(path)
    assert json.loads(path.read_text())["settings"]["edit"] == "off"
    make(studio, steps=3, seed=5, prompt="a panda left of an umbrella")
    before = dataset(studio)["run"]
    studio.locator("#prompt textarea").fill("something else by now")
    edit(studio)
    studio.locator(".up-run-file").set_input_files(path)
    settled(studio, other_than=before)
    form(studio, prompt="a blue car", seed="77", steps="2", editing=False)


def test_a_reload_loses_nothing(studio):
    make(studio, steps=2, seed=3, prompt="a blue car")
    make(studio, steps=2, seed=4, prompt="two mushrooms on yellow")
    make(studio, steps=4, seed=5, prompt="a rocket in a starry night", editing=False)
    runs = studio.evaluate("() => window.chisel.runs().map((run) => run.id)")
    studio.evaluate("() => { window.chisel.go(2); }")
    until(studio, step="2")
    # a branch, whose first steps are its parent's, with a lock and two tokens by hand
    branch = press(studio, "branch")
    studio.evaluate("() => { window.chisel.lock([17]); window.chisel.put([[30, 7], [31, 9]]); }")
    until(studio, drafted="2", pending="0")
    tokens, k = studio.evaluate(TOKENS), dataset(studio)["step"]
    frames = studio.evaluate("() => window.chisel.run().frames.map((frame) => Array.from(frame.tokens))")
    reload(studio)
    told = until(studio, run=branch, step=k, drafted="2", pending="0", locked="1")
    assert told["state"] == "done" and studio.evaluate(TOKENS) == tokens
    form(studio, prompt="a rocket in a starry night", seed="5", steps="4", editing=False)
    studio.wait_for_function("n => window.chisel.runs().length === n", arg=len(runs) + 1)
    assert studio.evaluate("() => window.chisel.runs().map((run) => run.id)") == [branch, *runs]
    assert (
        studio.evaluate("() => window.chisel.run().frames.map((frame) => Array.from(frame.tokens))") == frames
    )
    assert studio.locator(".cz-thumb").count() == len(runs) + 1
    # its steps are looked at as before, and their pictures come
    studio.locator(".cz-range").fill("1")
    until(studio, step="1")
    studio.wait_for_function("() => window.chisel.run().frames[1].image")
    # the other pictures too, with their forms
    studio.locator(".cz-thumb").last.click()
    until(studio, run=runs[-1])
    form(studio, prompt="a blue car", seed="3", steps="2")
    make(studio, steps=2, seed=9)


def test_another_tab_begins_anew(visit):
    page = visit()
    make(page, steps=2)
    reload(page)
    settled(page)
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_function(f"() => window.chisel && {CANVAS}.state === 'idle'")


def test_continue_after_stop(studio):
    studio.locator("#prompt textarea").fill("a panda left of an umbrella")
    studio.locator("#steps input[type=number]").fill("40")
    studio.locator("#seed input").fill("21")
    assert studio.locator(".cz-continue").is_hidden()
    studio.locator("#generate").click()
    studio.wait_for_function(f"() => {CANVAS}.state === 'running' && Number({CANVAS}.step) >= 3")
    studio.locator("#stop:enabled").click()
    stopped = settled(studio, "stopped")
    assert int(stopped["masked"]) > 0
    frames = studio.evaluate("() => window.chisel.run().frames.map((frame) => Array.from(frame.tokens))")
    # the form may say anything by now: it is this run that goes on
    studio.locator("#prompt textarea").fill("a blue car")
    studio.locator("#seed input").fill("1")
    studio.locator(".cz-continue").click()
    told = settled(studio, other_than=stopped["run"])
    run = studio.evaluate(
        "() => { const { prompt, seed, planned } = window.chisel.run(); return { prompt, seed, planned }; }"
    )
    assert told["masked"] == "0"
    assert run == {"prompt": "a panda left of an umbrella", "seed": 21, "planned": 40}
    after = studio.evaluate("() => window.chisel.run().frames.map((frame) => Array.from(frame.tokens))")
    assert after[: len(frames)] == frames
    assert studio.locator(".cz-continue").is_hidden()


def test_files_of_two_steps_have_two_names(studio):
    make(studio, steps=3, prompt="a blue car")
    names = []
    for step in (3, 2):
        studio.evaluate("k => window.chisel.go(k)", step)
        until(studio, step=str(step))
        with studio.expect_download() as waiting:
            studio.locator(".ex-button[data-as=png]:enabled").click()
        names.append(waiting.value.suggested_filename)
    assert len(set(names)) == 2 and all(
        re.fullmatch(r"chisel-a-blue-car-1(-step[23])?-[0-9a-f]{8}\.png", n) for n in names
    )


def test_a_reload_in_the_middle_of_a_run_says_so_and_offers_to_go_on(studio):
    studio.locator("#prompt textarea").fill("a panda left of an umbrella")
    studio.locator("#steps input[type=number]").fill("40")
    studio.locator("#seed input").fill("21")
    studio.locator("#generate").click()
    studio.wait_for_function(f"() => {CANVAS}.state === 'running' && Number({CANVAS}.step) >= 3")
    cut = dataset(studio)["run"]
    reload(studio)
    until(studio, run=cut, state="stopped")
    studio.wait_for_function("() => window.chisel.step() === window.chisel.run().last")
    k = studio.evaluate("() => window.chisel.run().last")
    assert 3 <= k < 40
    studio.locator(".cz-status", has_text=re.compile(rf"^step {k} of 40.*, cut off by the reload")).wait_for()
    told = studio.locator(".cz-outcome")
    told.filter(has_text=f"The reload cut this run off at step {k} of 40").wait_for()
    assert told.inner_text().endswith("Continue carves on from there.")
    studio.locator(".cz-continue").click()
    done = settled(studio, other_than=cut)
    assert done["masked"] == "0" and "cut this run off" not in told.inner_text()
    # a finished run is not said to be cut
    reload(studio)
    settled(studio)
    assert "cut" not in told.inner_text() + studio.locator(".cz-status").inner_text()


def test_a_reload_before_the_first_step_says_how_to_run_it_again(visit):
    other, page = visit(), visit()
    make(other, steps=2)
    hold(other)
    page.locator("#prompt textarea").fill("a rocket in a starry night")
    page.locator("#steps input[type=number]").fill("5")
    page.locator("#seed input").fill("21")
    page.locator("#generate").click()
    status = page.locator(".cz-status")
    status.filter(has_text="waiting").wait_for()
    reload(page)
    status.filter(has_text="before its first step: press Generate to run it again.").wait_for()
    form(page, prompt="a rocket in a starry night", steps="5", seed="21")
    other.close()
    page.locator("#generate").click()
    settled(page)
    assert page.evaluate("() => window.chisel.run().seed") == 21
    assert "cut" not in status.inner_text()
