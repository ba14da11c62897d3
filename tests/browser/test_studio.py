"""A visitor at the page: types, watches, scrubs, inspects, stops, errs. Waits on state, never on time."""

import json
import urllib.request
from itertools import pairwise

import pytest
from studio_hands import form, sent

from ui.record.browser import CANVAS, dataset, scrub, settled
from ui.server.form import Refused, check_run

PROMPT = "three strawberries on a teal background"
TOLERANCE = 12  # of 255, between two readings of one pixel

# Readings stay in the browser: `read` keeps the canvas' pixels under a name, `differ` compares two, cell by
# cell. The canvas is drawn once more before it is read, so that marks left by mouse or focus are gone.
READINGS = """() => {
    const canvas = document.querySelector(".cz-canvas");
    const kept = {};
    const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    window.read = async (name) => {
        await drawn();
        kept[name] = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    };
    window.differ = (one, other, tolerance) => {
        const [a, b] = [kept[one], kept[other]], side = a.width / 16, cells = new Set();
        for (let i = 0; i < a.data.length; i++) {
            if (Math.abs(a.data[i] - b.data[i]) <= tolerance) continue;
            const at = i >> 2;
            cells.add(Math.floor(at / a.width / side) * 16 + Math.floor((at % a.width) / side));
        }
        return [...cells];
    };
}"""


def read(page, name):
    """Keeps what the canvas shows now under `name`, after the mouse has left it."""
    page.mouse.move(0, 0)
    if not page.evaluate("() => Boolean(window.read)"):
        page.evaluate(READINGS)
    page.evaluate("name => window.read(name)", name)


def differing(page, one, other):
    """The cells in which two readings differ."""
    return set(page.evaluate("([a, b, t]) => window.differ(a, b, t)", [one, other, TOLERANCE]))


def generate(page, prompt=PROMPT, steps=6, state="done", editing=None, seed=None, enter=False):
    """Fills in the form, starts a run, waits for its end; returns the canvas' dataset."""
    before = dataset(page)["run"]
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#steps input[type=number]").fill(str(steps))
    if editing is not None:
        page.locator("#editing input").set_checked(editing)
    if seed is not None:
        page.locator("#seed input").fill(str(seed))
    page.locator("#prompt textarea").press("Enter") if enter else page.locator("#generate").click()
    return settled(page, state, other_than=before)


def inspector(page):
    """What the inspector says: cell and probability."""
    return page.evaluate("({...document.querySelector('.cz-inspector').dataset})")


def test_a_prompt_becomes_a_picture_step_by_step(studio):
    read(studio, "stone")
    last = int(generate(studio, steps=6, editing=False)["last"])
    assert last == 6
    revealed = []
    for step in range(last + 1):
        scrub(studio, step)
        read(studio, "step")
        shown = differing(studio, "step", "stone")
        assert len(shown) == 256 - int(dataset(studio)["masked"])
        revealed.append(shown)
    assert revealed[0] == set() and len(revealed[-1]) == 256
    for before, after in pairwise(revealed):
        assert before < after  # with editing off a carved cell stays carved, and each step carves some
    assert "step 6 of 6 · 256 of 256 tokens set · 0 edited" in studio.locator(".cz-status").inner_text()


def test_the_steps_arrive_one_by_one_while_the_run_goes_on(studio):
    studio.evaluate(
        f"""() => {{
            window.seen = [];
            new MutationObserver(() => {{
                const d = {CANVAS};
                if (d.state === "running" && window.seen.at(-1) !== Number(d.step))
                window.seen.push(Number(d.step));
            }}).observe(document.querySelector(".cz-canvas"), {{ attributes: true }});
        }}"""
    )
    generate(studio, steps=40)
    seen = studio.evaluate("window.seen")
    assert seen == sorted(seen)
    assert len(seen) >= 25, f"only the steps {seen} were shown while running"


def test_scrubbing_back_shows_the_earlier_picture_again(studio):
    last = int(generate(studio)["last"])
    scrub(studio, last)
    read(studio, "end")
    scrub(studio, 3)
    read(studio, "middle")
    assert differing(studio, "middle", "end")
    scrub(studio, last)
    read(studio, "end again")
    assert not differing(studio, "end", "end again")
    scrub(studio, 3)
    read(studio, "middle again")
    assert not differing(studio, "middle", "middle again")


def test_keys_step_play_and_pause(studio):
    last = generate(studio)["last"]
    canvas = studio.locator(".cz-canvas")
    canvas.press("[")
    studio.wait_for_function(f"k => {CANVAS}.step === k", arg=str(int(last) - 1))
    canvas.press("Home")
    studio.wait_for_function(f"() => {CANVAS}.step === '0'")
    canvas.press(" ")
    assert studio.get_by_label("Pause").is_visible()
    studio.wait_for_function(f"k => {CANVAS}.step === k", arg=last)
    studio.get_by_label("Play the steps").wait_for()


def test_a_click_shows_the_tokens_probability_and_history(studio):
    last = int(generate(studio)["last"])
    box = studio.locator(".cz-canvas").bounding_box()
    studio.locator(".cz-canvas").click(position={"x": box["width"] * 5.5 / 16, "y": box["height"] * 7.5 / 16})
    assert studio.locator(".cz-where").inner_text() == "Row 8, column 6"
    told = inspector(studio)
    assert told["cell"] == str(7 * 16 + 5)
    assert 0 <= float(told["probability"]) <= 1
    assert "%" in studio.locator(".cz-p").inner_text()
    assert "nats" in studio.locator(".cz-h").inner_text()
    history = studio.locator(".cz-history li").all_inner_texts()
    assert "masked" in history[0] and "set to #" in " ".join(history)
    studio.locator(".cz-canvas").press("ArrowRight")
    studio.wait_for_function(f"() => {CANVAS}.cell === '118'")
    assert studio.locator(".cz-where").inner_text() == "Row 8, column 7"
    studio.locator(".cz-history button").first.click()
    studio.wait_for_function(f"() => {CANVAS}.step === '0'")
    assert studio.locator(".cz-id").inner_text() == "masked"
    assert int(dataset(studio)["last"]) == last


def test_the_three_views_differ_and_bring_their_own_legend(studio):
    generate(studio)
    scrub(studio, 3)
    read(studio, "picture")
    studio.get_by_role("button", name="Changes").click()
    read(studio, "changes")
    assert differing(studio, "picture", "changes")
    studio.get_by_role("button", name="Confidence").click()
    read(studio, "confidence")
    assert len(differing(studio, "picture", "confidence")) > 128
    legend = studio.locator(".cz-legend").inner_text()
    assert "unsure" in legend and "edited" not in legend


def test_stop_keeps_the_unfinished_picture_and_frees_the_studio(studio):
    studio.locator("#prompt textarea").fill(PROMPT)
    studio.locator("#steps input[type=number]").fill("64")
    assert studio.locator("#stop").is_disabled()
    studio.locator("#generate").click()
    studio.wait_for_function(f"() => {CANVAS}.state === 'running' && Number({CANVAS}.step) >= 2")
    studio.locator("#generate:disabled").wait_for()
    studio.locator("#stop").click()
    stopped = settled(studio, "stopped")
    assert 2 <= int(stopped["last"]) < 64
    assert int(stopped["masked"]) > 0
    studio.locator("#generate:enabled").wait_for()
    assert studio.locator("#stop").is_disabled()
    assert generate(studio, steps=4)["masked"] == "0"


def test_a_refused_prompt_gets_one_sentence_and_loses_nothing(studio):
    empty = ("", "Type what you would like to see first")
    long = ("x" * 10_000, "this one has 10,000: shorten it a little.")
    run = generate(studio, steps=4)["run"]
    scrub(studio, 4)
    read(studio, "before")
    for prompt, sentence in (empty, empty, long):  # the same sentence is said again
        studio.locator("#prompt textarea").fill(prompt)
        studio.locator("#generate").click()
        studio.get_by_role("alert").filter(has_text=sentence).wait_for()
        assert studio.locator("#prompt textarea").input_value() == prompt
    assert dataset(studio)["run"] == run
    read(studio, "after")
    assert not differing(studio, "before", "after")
    generate(studio, steps=4)
    assert studio.locator(".cz-notice").inner_text() == ""


def test_the_same_seed_draws_the_same_picture(studio):
    studio.locator("#keep-seed input").check()
    for name, seed in (("first", 11), ("second", 11), ("other", 12)):
        scrub(studio, int(generate(studio, seed=seed)["last"]))
        read(studio, name)
    assert not differing(studio, "first", "second")
    assert differing(studio, "first", "other")


def test_generate_pressed_again_rolls_a_new_seed_unless_it_is_kept(studio):
    generate(studio, steps=4, seed=5)
    assert studio.locator("#seed input").input_value() == "5"
    generate(studio, steps=4)
    assert studio.locator("#seed input").input_value() != "5"
    kept = studio.locator("#seed input").input_value()
    generate(studio, steps=5)  # something else changed: the seed stays, so that the two can be compared
    assert studio.locator("#seed input").input_value() == kept


def test_chips_fill_the_prompt_and_enter_starts_the_run(studio):
    studio.locator("#chips button").nth(1).click()
    chip = studio.locator("#chips button").nth(1).inner_text()
    studio.wait_for_function("text => document.querySelector('#prompt textarea').value === text", arg=chip)
    generate(studio, prompt=chip, steps=4, enter=True)
    assert chip in studio.locator(".cz-canvas").get_attribute("aria-label")


def test_markup_in_a_prompt_stays_text(studio):
    for prompt in ("<img src=x onerror='hacked=1'>", "${window.hacked=1}", "{{hacked}} <b>"):
        generate(studio, prompt=prompt, steps=4)
        assert studio.evaluate("window.hacked") is None
        assert prompt in studio.locator(".cz-canvas").get_attribute("aria-label")


def test_a_dark_phone_shows_everything_in_one_column(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.body.classList.contains('dark')")
    page.locator("#generate").tap()
    settled(page)
    page.locator(".cz-canvas").tap(position={"x": 60, "y": 60})
    assert float(inspector(page)["probability"]) >= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_direct_calls_meet_the_same_checks(address):
    good = {**form(text=PROMPT, seed=0, steps=4), "top_k": 0, "edit_from": 0, "edit_to": 1}
    wrong = {"prompt": "", "seed": -1, "steps": 10_000, "guidance": "high", "editing": 3, "order": "../order"}
    for name, value in {**wrong, "edit_budget": 1e9, "top_k": -1, "edit_to": 2}.items():
        told = {**good, name: value}
        with pytest.raises(Refused) as refused:
            check_run(told.pop("prompt"), **told)
        bad = [*sent(**{"text" if name == "prompt" else name: value}), None]
        body = json.dumps({"data": bad}).encode()
        call = urllib.request.Request(
            f"{address}/gradio_api/call/generate", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(call, timeout=20) as answer:
            event = json.load(answer)["event_id"]
        with urllib.request.urlopen(f"{address}/gradio_api/call/generate/{event}", timeout=20) as stream:
            said = stream.read().decode()
        assert json.dumps(str(refused.value)) in said and '"frames"' not in said
