"""You are the sampler in a browser: decided by mouse, finger and keyboard; what lies where; how it ends."""

import pytest

from ui.record.browser import arrived, dataset, settled

FIRST = ".cz-by-hand-canvas"
SAMPLE = """(cell) => {
    const canvas = document.querySelector(".cz-by-hand-canvas");
    const side = canvas.width / 16;
    const [x, y] = [(cell % 16 + 0.5) * side, (Math.floor(cell / 16) + 0.5) * side];
    return Array.from(canvas.getContext("2d").getImageData(x, y, 1, 1).data).slice(0, 3);
}"""


def generate(page, steps=4):
    page.locator("#prompt textarea").fill("a panda on a teal background")
    page.locator("#steps input[type=number]").fill(str(steps))
    page.locator("#generate").click()
    return settled(page)


def begin(page):
    page.locator("[data-task=learn]").click()
    page.locator("[data-open=sampler]").click()
    page.locator(".cz-by-hand-start [data-hand=begin]").click()
    step(page, 1)


def step(page, k):
    """Waits until step k is to be decided."""
    page.wait_for_function(
        """k => document.querySelector(".cz-by-hand").dataset.state !== "busy"
            && document.querySelector(".cz-by-hand-step").textContent.startsWith(`Step ${k}`)
            && document.querySelector(".cz-by-hand-step").offsetParent""",
        arg=k,
    )


def take(page, k):
    page.locator("[data-hand=take]").click()
    step(page, k)


def board(page):
    """What the grid says of itself once it has drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return dict(page.evaluate(f"() => ({{...document.querySelector('{FIRST}').dataset}})"))


def press(page, cell):
    """The middle of a cell, with the mouse."""
    box = page.locator(FIRST).bounding_box()
    side = box["width"] / 16
    page.mouse.click(box["x"] + (cell % 16 + 0.5) * side, box["y"] + (cell // 16 + 0.5) * side)


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_everything_that_decides_is_in_the_window_beside_the_grid(visit, size):
    page = visit(viewport={"width": size[0], "height": size[1]})
    generate(page, 2)
    begin(page)
    page.evaluate("() => window.scrollTo(0, 0)")
    for name in (
        FIRST,
        "[data-rule=surest]",
        ".cz-by-hand-many input",
        ".cz-by-hand-heat input",
        "[data-hand=take]",
    ):
        lies = page.evaluate(
            """name => {
                const box = document.querySelector(name).getBoundingClientRect();
                const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
                const top = document.elementFromPoint(x, y);
                return { bottom: box.bottom, there: Boolean(top && top.closest(name)) };
            }""",
            name,
        )
        assert lies["bottom"] <= size[1] and lies["there"], (name, lies)


def test_the_surest_at_every_step_are_the_samplers_run_and_both_stand_on_the_stage(studio):
    own = generate(studio)["run"]
    begin(studio)
    assert dataset(studio)["step"] == "0"  # the stage goes along with the sampler's own run
    take(studio, 2)
    assert dataset(studio)["step"] == "1"
    studio.locator("[data-hand=rest]").click()
    studio.locator(".cz-by-hand-end").wait_for()
    count = studio.locator(".cz-by-hand-count")
    count.filter(has_text="All 256 tokens").wait_for()
    assert count.get_attribute("data-differ") == "0"
    there = dataset(studio)
    assert there["kind"] == "hand" and there["beside"] == own and there["run"] != own
    same = studio.evaluate(
        """() => {
            const [mine, its] = [window.chisel.run(), window.chisel.beside()];
            return mine.frames.length === its.frames.length
                && mine.frames.every((frame, k) => String(frame.tokens) === String(its.frames[k].tokens));
        }"""
    )
    assert same
    assert "decided by hand" in studio.locator(".cz").first.inner_text()


def test_pressed_cells_are_set_in_the_picture_and_others_are_not(studio):
    begin_alone(studio)
    studio.locator(".cz-by-hand-ghost input").uncheck()
    surest = int(board(studio)["set"])
    for cell in range(40, 256):
        stone = studio.evaluate(SAMPLE, cell)
        press(studio, cell)
        if int(board(studio)["set"]) > surest:  # not one of the surest, which are chosen already
            break
        press(studio, cell)
    studio.mouse.move(5, 5)
    assert studio.locator("[data-rule=hand]").get_attribute("aria-pressed") == "true"
    before = board(studio)
    assert studio.evaluate(SAMPLE, cell) != stone  # its guess, in full
    n = int(before["set"])
    assert studio.locator("[data-hand=take]").inner_text().startswith(f"Set {n} cells")
    take(studio, 2)
    after = board(studio)
    assert int(after["masked"]) == 256 - n
    press(studio, cell)
    assert board(studio)["back"] == "1"
    assert "send 1 back" in studio.locator("[data-hand=take]").inner_text()
    take(studio, 3)
    press(studio, cell)  # it is stone again, and can be set
    assert board(studio)["back"] == "0"


def begin_alone(page, steps=4):
    """Without a picture before: by the form's own prompt."""
    begin(page)
    assert page.locator(".cz-by-hand-with").text_content().startswith("“")


def test_going_back_shows_the_step_as_it_was_and_another_way_goes_on_from_there(studio):
    begin_alone(studio)
    take(studio, 2)
    second = board(studio)
    take(studio, 3)
    studio.get_by_role("button", name="Back to step 2").click()
    step(studio, 2)
    assert board(studio)["masked"] == second["masked"]
    studio.locator("[data-rule=least]").click()
    take(studio, 3)
    steps = studio.locator(".cz-by-hand-steps button")
    assert steps.count() == 3 and steps.nth(2).get_attribute("aria-current") == "step"


def test_another_temperature_is_there_at_once_and_says_that_nothing_was_computed_anew(studio):
    begin_alone(studio)
    before = studio.evaluate(f"document.querySelector('{FIRST}').toDataURL()")
    studio.locator(".cz-by-hand-heat input").fill("1.9")
    studio.locator(".cz-by-hand-heat i").filter(has_text="guesses changed, without a new look").wait_for()
    words = studio.locator(".cz-by-hand-heat i").inner_text()
    assert 0 < int(words.split()[0]) <= 256
    board(studio)
    assert studio.evaluate(f"document.querySelector('{FIRST}').toDataURL()") != before
    studio.locator(".cz-by-hand-heat input").fill("1.9")


def test_by_keyboard(studio):
    begin_alone(studio)
    studio.locator(FIRST).focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        studio.keyboard.press(key)
    told = studio.locator(".cz-by-hand-cell")
    assert told.get_attribute("aria-live") == "polite" and "row 11, column 9: guess #" in told.inner_text()
    had = int(board(studio)["set"])
    studio.keyboard.press("Enter")
    assert int(board(studio)["set"]) == had + 1 and "will be set" in told.inner_text()
    studio.keyboard.press(" ")
    assert int(board(studio)["set"]) == had
    studio.locator("[data-hand=take]").focus()
    studio.keyboard.press("Enter")
    step(studio, 2)
    assert studio.evaluate("document.activeElement.className") == "cz-by-hand-step"


def test_on_a_phone_a_finger_sets_cells_and_what_is_pressed_is_large_and_in_reach(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark")
    begin_alone(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not page.locator("#stage").is_visible()  # one grid is enough there
    page.locator(FIRST).scroll_into_view_if_needed()
    box = page.locator(FIRST).bounding_box()
    had = int(board(page)["set"])
    side = box["width"] / 16
    page.touchscreen.tap(box["x"] + 8.5 * side, box["y"] + 8.5 * side)
    assert int(board(page)["set"]) == had + 1
    page.locator(".cz-by-hand-many input").scroll_into_view_if_needed()
    for name in ("[data-hand=take]", "[data-rule=least]", ".cz-by-hand-steps button", "[data-hand=rest]"):
        assert page.locator(name).first.bounding_box()["height"] >= 44, name
    take = page.locator("[data-hand=take]").bounding_box()
    assert take["y"] + take["height"] <= 844
    page.locator("[data-hand=take]").tap()
    step(page, 2)


def test_where_nothing_is_chosen_nothing_can_be_pressed_and_nothing_is_lost(studio):
    begin_alone(studio)
    take(studio, 2)
    masked = board(studio)["masked"]
    studio.locator(".cz-by-hand-many input").fill("0")
    edits = studio.locator(".cz-by-hand-edits input")
    if edits.is_visible():
        edits.uncheck()
    take_it = studio.locator("[data-hand=take]")
    assert take_it.is_disabled() and take_it.inner_text() == "Choose a cell first"
    assert board(studio)["masked"] == masked
    studio.evaluate("document.querySelector('[data-rule=surest]').click()")
    studio.locator(".cz-by-hand-many input").fill("7")
    assert take_it.is_enabled() and take_it.inner_text().startswith("Set 7 cells")
    take(studio, 3)
    assert int(board(studio)["masked"]) == int(masked) - 7


def test_who_leaves_half_way_finds_the_picture_that_stood_before(studio):
    generate(studio)
    last = dataset(studio)["last"]
    own = studio.evaluate("window.chisel.run().id")
    begin(studio)
    take(studio, 2)
    assert dataset(studio)["step"] == "1", "the stage goes along"
    ways = ("[data-open=editing]", "[data-task=create]", "[data-task=edit]")
    for way in ways:
        studio.locator(way).click()
        studio.wait_for_function("k => document.querySelector('.cz-canvas').dataset.step === k", arg=last)
        assert dataset(studio)["masked"] == "0"
        if way != ways[0]:
            studio.locator("[data-task=learn]").click()
        else:
            studio.locator("[data-open=sampler]").click()
        studio.wait_for_function("() => document.querySelector('.cz-canvas').dataset.step === '1'")
        assert studio.locator(".cz-by-hand-step").inner_text().startswith("Step 2 of 4"), (
            "and can be gone on with"
        )
    # a reload forgets the game: the picture is there all the same
    studio.reload()
    arrived(studio).wait_for_function("id => window.chisel.run()?.id === id", arg=own)
    studio.wait_for_function("k => document.querySelector('.cz-canvas').dataset.step === k", arg=last)
    assert dataset(studio)["masked"] == "0"


def test_who_went_to_another_step_stays_there(studio):
    generate(studio)
    begin(studio)
    studio.evaluate("window.chisel.go(2)")
    studio.locator("[data-open=editing]").click()
    studio.evaluate("() => new Promise((done) => setTimeout(done, 200))")
    assert dataset(studio)["step"] == "2"


def test_what_the_noise_sliders_spoilt_does_not_leave_its_chapter(studio):
    generate(studio)
    tokens = studio.evaluate("() => Array.from(window.chisel.tokens())")
    studio.locator("[data-task=learn]").click()
    studio.locator("[data-open=forward]").click()
    studio.wait_for_function("() => !document.querySelector('.fw-mask').disabled")
    studio.locator(".fw-mask").fill("100")
    studio.wait_for_function("() => document.querySelector('.cz-canvas').dataset.masked === '256'")
    studio.locator("[data-task=create]").click()
    studio.wait_for_function("() => document.querySelector('.cz-canvas').dataset.masked === '0'")
    assert studio.evaluate("() => Array.from(window.chisel.tokens())") == tokens
    studio.evaluate("window.chisel.undo()")  # it was not lost
    studio.wait_for_function("() => document.querySelector('.cz-canvas').dataset.masked === '256'")


def test_the_choice_by_hand_stays_and_what_to_do_is_in_sight(studio):
    begin_alone(studio)
    how = studio.locator(".cz-by-hand-how")
    assert "press the button, and it looks again" in how.inner_text()
    studio.locator("[data-rule=hand]").click()
    press(studio, 40)
    take(studio, 2)
    assert studio.locator("[data-rule=hand]").get_attribute("aria-pressed") == "true"
    before = int(board(studio)["set"])
    assert before > 0  # it begins with what the sampler would set
    press(studio, 200)
    assert int(board(studio)["set"]) == before + 1
    take(studio, 3)
    assert studio.locator("[data-rule=hand]").get_attribute("aria-pressed") == "true" and how.is_visible()
    studio.locator("[data-rule=least]").click()
    take(studio, 4)
    assert studio.locator("[data-rule=least]").get_attribute("aria-pressed") == "true"
