"""Presses at awkward moments: as a run ends, twice, into a full queue, and a reload in the middle of a run."""

import time

from hands import edit, make, point, press, until

from ui.record.browser import CANVAS, dataset, settled


def test_a_reload_in_the_middle_keeps_what_was_carved_and_leaves_the_studio_free(studio):
    make(studio)
    studio.locator("#steps input[type=number]").fill("64")
    studio.locator("#generate").click()
    studio.wait_for_function(f"() => {CANVAS}.state === 'running'")

    def slow(route):  # long enough for the old page to notice that Gradio has closed its streams
        time.sleep(1.2)
        route.fallback()

    studio.route(studio.url, slow)
    studio.reload()
    studio.wait_for_function(f"() => window.chisel && {CANVAS}.state === 'stopped'")
    assert studio.locator(".cz-engraving").is_hidden() and int(dataset(studio)["masked"]) > 0
    make(studio, steps=2)  # the run of before does not hold it up


def test_a_press_that_the_queue_refuses_leaves_the_page_usable(studio):
    run = make(studio, steps=2)
    edit(studio, "mask", 3)
    studio.mouse.click(*point(studio, 120))
    until(studio, masked="9")
    full = {"status": 503, "json": {"detail": "Queue is full."}}
    studio.route("**/queue/join*", lambda route: route.fulfill(**full))
    studio.locator("[data-press=repaint]").click()
    studio.get_by_text("This application is currently busy").wait_for()
    studio.locator("[data-press=repaint]:enabled").wait_for()
    assert studio.locator(".is-waiting").count() == 0
    assert dataset(studio)["run"] == run and dataset(studio)["masked"] == "9"
    studio.unroute("**/queue/join*")
    press(studio, "repaint")


def test_a_press_at_the_very_end_of_a_run_is_not_lost(studio):
    """The next action is pressed before the event of the run before it is closed, again and again."""
    studio.evaluate(
        """() => document.addEventListener("chisel:done", () => {
            if (window.chisel.run().kind === "repaint") return;
            window.chisel.task("edit");
            window.chisel.remask([17, 18, 19, 20]);
            window.chisel.press("repaint");
        })"""
    )
    for seed in range(3):
        before = dataset(studio)["run"]
        studio.evaluate("() => window.chisel.task('create')")
        studio.locator("#steps input[type=number]").fill("2")
        studio.locator("#seed input").fill(str(seed))
        studio.locator("#generate:enabled").click()
        studio.wait_for_function(
            f"b => {CANVAS}.run !== b && {CANVAS}.kind === 'repaint' && {CANVAS}.state === 'done'", arg=before
        )
        assert int(dataset(studio)["masked"]) == 0


def test_generate_pressed_the_moment_it_is_free_is_not_lost(studio):
    """After a run, and after a refusal, which is on the page before its event is over."""
    make(studio, steps=2)
    studio.evaluate(
        """() => {
            window.begun = window.pressed = 0;
            document.addEventListener("chisel:ask", () => { window.begun += 1; });
            const button = document.querySelector("#generate"), notice = document.querySelector(".cz-notice");
            let was = true;
            const look = () => {
                const free = !button.disabled && (!was || notice.textContent !== "");
                was = button.disabled ? false : true;
                if (free && window.pressed < 4) { window.pressed += 1; button.click(); }
            };
            new MutationObserver(look).observe(button, { attributes: true, attributeFilter: ["disabled"] });
            new MutationObserver(look).observe(notice, { childList: true });
        }"""
    )
    studio.locator("#generate").click()
    studio.wait_for_function("() => window.begun === 5 && window.pressed === 4")
    studio.wait_for_function("() => window.chisel.runs().length === 6")
    settled(studio)
    studio.locator("#generate:enabled").wait_for()
    studio.evaluate("() => { window.begun = window.pressed = 0; }")
    studio.locator("#prompt textarea").fill("")
    studio.locator("#generate").click()
    studio.wait_for_function("() => window.begun === 5 && window.pressed === 4")


def test_a_double_click_on_generate_makes_one_picture(studio):
    make(studio, steps=2)
    studio.locator("#steps input[type=number]").fill("40")
    studio.locator("#generate").dblclick()
    studio.locator("#generate:disabled").wait_for()
    studio.locator("#generate:enabled").wait_for()
    make(studio, steps=2, seed=3)
    assert studio.evaluate("() => window.chisel.runs().length") == 3
