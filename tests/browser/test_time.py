"""A visitor who goes through time: overlays, branches, two runs side by side, variations, the shelf, many tabs."""

from hands import FRAMES, TOKENS, apart, centres, drag, edit, hold, make, point, press, until
from studio_model import MASK

from ui.record.browser import CANVAS, dataset, scrub, settled

VIEWS = {
    "changes": "edited",
    "mask": "locked",
    "confidence": "unsure",
    "entropy": "nats",
    "age": "early",
    "edits": "how often",
}


def test_every_overlay_shows_something_else_and_has_its_legend(studio):
    make(studio, steps=6, prompt="three strawberries on a teal background", seed=0)
    scrub(studio, 4)
    shown = {"picture": centres(studio)}
    for view, word in VIEWS.items():
        studio.locator(f".cz-view[data-view={view}]").click()
        until(studio, overlay=view)
        assert word in studio.locator(".cz-legend").inner_text()
        shown[view] = centres(studio)
    for view, pixels in shown.items():
        others = [name for name in shown if name != view]
        assert all(apart(pixels, shown[name]) for name in others), view
    studio.locator(".cz-view[data-view=picture]").click()
    assert not apart(centres(studio), shown["picture"])


def test_a_branch_leaves_its_run_at_the_step_on_screen(studio):
    first = make(studio, steps=5)
    frames = studio.evaluate(FRAMES)
    assert studio.locator(
        "[data-press=branch]"
    ).is_disabled()  # at the last step there is nothing to make anew
    scrub(studio, 2)
    studio.locator("#seed input").fill("77")
    run = press(studio, "branch")
    told = studio.evaluate(FRAMES)
    assert run != first and told[:3] == frames[:3] and told[-1] != frames[-1]
    assert "branch from step 2 · seed 77" in studio.locator(".cz-caption span >> nth=0").inner_text()
    assert all(token < MASK for token in told[5])
    scrub(studio, 1)
    early = centres(studio)
    studio.locator(".cz-thumb").nth(1).click()  # the shelf leads back to the run before
    until(studio, run=first)
    scrub(studio, 1)
    assert not apart(centres(studio), early)


def test_two_runs_stand_side_by_side_on_one_timeline(studio):
    first = make(studio, steps=5)
    frames = studio.evaluate(FRAMES)
    studio.locator(".cz-compare").select_option("editing")
    told = until(studio, besideState="done")
    assert told["run"] == first and told["beside"] != first
    other = studio.evaluate("() => window.chisel.beside().frames.map((frame) => Array.from(frame.tokens))")
    assert other[0] == frames[0] and other[1] == frames[1]  # the same until the first edit
    assert "editing off" in studio.locator(".cz-caption-beside").inner_text()
    for step in (2, 4):
        scrub(studio, step)
        left, right = pictures(studio)
        revealed = [sum(token < MASK for token in side[step]) for side in (frames, other)]
        assert (left > 0 and right > 0) == (min(revealed) > 0)
    range_ = studio.locator(".cz-range")
    assert int(range_.get_attribute("max")) == max(len(frames), len(other)) - 1
    studio.locator(".cz-compare-stop").click()
    until(studio, beside="")
    assert studio.locator(".cz-canvas-beside").is_hidden()
    # half the steps, then a run of before, from the same menu
    studio.locator(".cz-compare").select_option("half")
    until(studio, besideState="done")
    assert studio.evaluate("() => window.chisel.beside().planned") == 3
    studio.locator(".cz-compare-stop").click()
    studio.locator(".cz-compare").select_option(index=4)
    until(studio, besideState="done")


def pictures(page):
    """How many different colours each of the two canvases shows at the middles of its cells."""
    return page.evaluate(
        """() => [".cz-canvas", ".cz-canvas-beside"].map((name) => {
            const canvas = document.querySelector(name), side = canvas.width / 16, seen = new Set();
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            for (let cell = 0; cell < 256; cell++) {
                const x = Math.floor((cell % 16 + 0.5) * side), y = Math.floor((Math.floor(cell / 16) + 0.5) * side);
                seen.add(data.slice((y * canvas.width + x) * 4, (y * canvas.width + x) * 4 + 3).join());
            }
            return seen.size;
        })"""
    )


def test_variations_are_looked_at_accepted_or_discarded(studio):
    first = make(studio)
    tokens = studio.evaluate(TOKENS)
    edit(studio, "mask", "rectangle")
    drag(studio, 80, 175)
    until(studio, masked="96")
    marked = centres(studio)
    for decision in ("discard", "accept"):
        studio.locator("[data-press=vary]:enabled").click()
        studio.locator("[data-press=stop]:enabled").wait_for()
        panel = studio.locator(".cz-variations")
        studio.wait_for_function("() => document.querySelector('.cz-variations').dataset.count === '3'")
        seeds = studio.locator(".cz-choices button").evaluate_all(
            "(all) => all.map((b) => b.getAttribute('aria-label'))"
        )
        assert len(set(seeds)) == 3
        studio.locator(".cz-choices button").nth(2).click()
        studio.wait_for_function(f"run => {CANVAS}.run !== run && {CANVAS}.masked === '0'", arg=first)
        chosen = studio.evaluate(TOKENS)
        assert chosen[:80] == tokens[:80] and chosen[176:] == tokens[176:]
        assert studio.locator("[data-press=repaint]").is_disabled()
        studio.locator(f".cz-{decision}").click()
        panel.wait_for(state="hidden")
        if decision == "discard":
            until(studio, run=first, masked="96")
            assert not apart(centres(studio), marked)
    assert studio.evaluate(TOKENS) == chosen
    studio.locator(".cz-ways [data-press=undo]").click()
    until(studio, run=first, masked="96")


def test_variations_that_nobody_chose_stay_on_the_shelf(studio):
    make(studio, steps=2)
    edit(studio)
    studio.evaluate("() => window.chisel.remask([85, 86, 101, 102])")
    studio.locator("[data-press=vary]:enabled").click()
    studio.wait_for_function("() => document.querySelector('.cz-variations').dataset.count === '3'")
    studio.locator(".cz-tool-hint").filter(has_text="Accept one of the variations").wait_for()
    studio.locator("#tasks [data-task=create]").click()
    make(studio, steps=2, seed=9)
    assert studio.locator(".cz-variations").is_hidden()
    assert studio.evaluate("() => window.chisel.runs().length") == 5


def test_locks_are_undone_in_create_too(studio):
    make(studio, steps=2)
    assert studio.locator(".cz-unlock").is_hidden()
    studio.evaluate("() => window.chisel.lock([5, 6, 7])")
    studio.locator("#kept").get_by_text("3 locked cells stay").wait_for()
    studio.locator(".cz-unlock").click()
    until(studio, locked="0")
    assert studio.locator("#kept").is_hidden()


def test_no_hidden_button_is_a_stop_of_the_tab_key(studio):
    studio.wait_for_function(
        "() => { const all = [...document.querySelectorAll('.cz-unseen')];"
        " return all.length >= 3 && all.every((b) => b.tabIndex < 0); }"
    )
    assert studio.locator(".cz-unseen:not([aria-hidden=true])").count() == 0


def test_playing_goes_through_the_steps_at_the_chosen_speed(studio):
    make(studio, steps=4)
    studio.locator(".cz-speed").click()
    studio.locator(".cz-speed").click()
    assert studio.locator(".cz-speed").inner_text() == "4×"
    studio.locator(".cz-canvas").press("Home")
    until(studio, step="0")
    studio.get_by_label("Play the steps").click()
    until(studio, step=dataset(studio)["last"])
    studio.get_by_label("Play the steps").wait_for()


def test_a_second_visitor_waits_in_sight_and_can_leave_and_nothing_mixes(visit):
    first, second = visit(), visit()
    make(first, steps=1, prompt="a blue car")
    hold(first)
    second.locator("#generate").click()
    second.get_by_role("alert").filter(has_text="One visitor is ahead of you").wait_for()
    assert second.locator("#generate").is_disabled() and dataset(second)["state"] == "idle"
    second.locator("#stop:enabled").click()
    second.locator("#generate:enabled").wait_for()
    assert second.locator(".cz-status").inner_text() == ""
    second.locator("#steps input[type=number]").fill("3")
    second.locator("#generate").click()
    second.get_by_role("alert").filter(has_text="ahead of you").wait_for()
    first.close()  # a closed tab makes room
    settled(second)
    assert second.evaluate("() => window.chisel.run().prompt").startswith("three strawberries")
    assert second.locator(".cz-thumb").count() <= 1


def test_a_first_visitor_finds_one_button_and_everything_explained(studio):
    assert studio.locator("#generate").is_visible() and studio.locator(".cz-engraving").is_visible()
    assert studio.locator(".cz-under").is_hidden() and studio.locator("#tools").is_hidden()
    studio.locator("#dice[title]").wait_for()
    assert "keeps this seed" in studio.locator("#keep-seed").get_attribute("title")
    edit(studio)
    assert "Make a picture first" in studio.locator(".cz-tool-hint").inner_text()
    for button in studio.locator("[data-press]").all():
        assert button.is_disabled()
    studio.mouse.click(*point(studio, 100))
    assert dataset(studio)["state"] == "idle"


def test_the_mode_that_masks_again_says_that_it_has_no_polish(studio):
    studio.locator("#advanced > button").click()
    studio.locator("#edit-mode input").click()
    studio.get_by_role("option", name="remask").click()
    studio.locator("#polish.is-idle").wait_for()
    assert "without polish" in studio.locator("#edit-mode").inner_text()


def test_two_quick_clicks_make_one_picture(studio):
    sent = []
    studio.on("request", lambda request: sent.append(request.url) if "queue/join" in request.url else None)
    studio.locator("#steps input[type=number]").fill("3")
    sent.clear()
    studio.locator("#generate").dblclick()
    settled(studio)
    studio.locator("#generate:enabled").wait_for()
    assert len(sent) == 1 and studio.evaluate("() => window.chisel.runs().length") == 1


def test_a_tap_on_a_phone_brings_the_panel_of_the_cell_into_sight(visit):
    page = visit(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, reduced_motion="reduce"
    )
    make(page, steps=2)
    page.evaluate("scrollTo(0, 0)")
    page.touchscreen.tap(*point(page, 119))
    until(page, cell="119")
    panel, canvas = page.locator(".cz-where").bounding_box(), page.locator(".cz-canvas").bounding_box()
    assert 0 < panel["y"] < 844 - 200
    assert canvas["y"] + canvas["height"] * 7 / 16 > 0  # the cell itself stays there
    page.locator("#tasks [data-task=edit]").tap()
    page.locator("button[data-tool=mask]").tap()
    page.evaluate("scrollTo(0, 0)")
    page.evaluate("() => window.chisel.remask([85, 86, 101, 102])")
    page.locator("[data-press=vary]").tap()
    page.wait_for_function("() => document.querySelector('.cz-variations').dataset.count === '3'")
    bar = page.locator("#edit-actions").bounding_box()
    accept = page.locator(".cz-accept").bounding_box()
    assert accept["y"] + accept["height"] <= bar["y"]  # not under the buttons at the bottom


def test_a_closer_look_by_button_and_keys(studio):
    make(studio)
    pane = "document.querySelector('.cz-pane')"
    studio.locator(".cz-zoom").click()
    until(studio, zoom="2")
    box, frame = studio.locator(".cz-canvas").bounding_box(), studio.locator(".cz-frame").first.bounding_box()
    assert abs(box["width"] - 2 * frame["width"]) < 2 and abs(box["height"] - 2 * frame["height"]) < 2
    assert abs((box["x"] + box["width"] / 2) - (frame["x"] + frame["width"] / 2)) < 2, (
        "the middle stays the middle"
    )
    studio.mouse.click(frame["x"] + frame["width"] / 2 + 5, frame["y"] + frame["height"] / 2 + 5)
    until(studio, cell="136")  # row 9, column 9: the first cell right of and below the middle
    studio.keyboard.press("+")
    until(studio, zoom="3")
    for _ in range(8):
        studio.keyboard.press("ArrowLeft")
    until(studio, cell="128")
    assert studio.evaluate(f"{pane}.scrollLeft") == 0, "the grid follows the chosen cell"
    x, y = point(studio, 128)
    assert frame["x"] < x < frame["x"] + frame["width"] and frame["y"] < y < frame["y"] + frame["height"]
    studio.keyboard.press("-")
    until(studio, zoom="2")
    studio.keyboard.press("0")
    until(studio, zoom="1")
    assert abs(studio.locator(".cz-canvas").bounding_box()["width"] - frame["width"]) < 1
