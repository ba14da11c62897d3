"""A visitor who edits: tools by mouse, brush, rectangle, keys and finger; locks, repaint, break and heal, undo."""

from hands import FRAMES, TOKENS, apart, block, centres, drag, edit, inner, make, point, press, until
from studio_model import MASK

from ui.record.browser import CANVAS, dataset, scrub

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_locked_cells_never_change_whatever_is_done_next(studio):
    make(studio)
    before, tokens = centres(studio), studio.evaluate(TOKENS)
    edit(studio, "lock", "rectangle")
    drag(studio, 51, 153)
    cells = block(51, 153)
    until(studio, locked=str(len(cells)))
    # another picture with another prompt around them, repainting everything else, breaking, healing
    studio.locator("#prompt textarea").fill("two mushrooms on yellow")
    studio.locator("#seed input").fill("5")
    press(studio, "around")
    kept(studio, cells, before, tokens)
    edit(studio, "mask", "rectangle")
    drag(studio, 0, 255)
    until(studio, masked=str(256 - len(cells)))
    press(studio, "repaint")
    kept(studio, cells, before, tokens)
    edit(studio, "break", "rectangle")
    drag(studio, 34, 170)
    until(studio, pending="0")
    assert all(studio.evaluate(TOKENS)[c] == tokens[c] for c in cells)
    press(studio, "heal")
    kept(studio, cells, before, tokens)
    studio.locator("[data-task=create]").click()
    assert f"{len(cells)} locked cells stay" in studio.locator(".cz-kept").inner_text()
    make(studio, seed=9)
    kept(studio, cells, before, tokens)


def kept(page, cells, before, tokens):
    """The locked tokens stand at every step of the run, and their pixels at every step on screen.

    Pixels are read two cells away from what may change: that far the decoder's smoothing is seen (one cell away a
    broken neighbour moved a pixel by up to 27 of 255, two cells away by at most 6).
    """
    frames = page.evaluate(FRAMES)
    assert len(frames) >= 2
    for step, frame in enumerate(frames):
        assert all(frame[c] == tokens[c] for c in cells)
        scrub(page, step)
        assert not apart(centres(page), before) & inner(inner(cells))


def test_repaint_makes_the_masked_cells_anew_and_no_others(studio):
    make(studio)
    before, tokens = centres(studio), studio.evaluate(TOKENS)
    edit(studio, "mask", 3)
    drag(studio, 5 * 16 + 4, 5 * 16 + 10)
    cells = block(4 * 16 + 3, 6 * 16 + 11)
    until(studio, masked=str(len(cells)), drafted=str(len(cells)))
    masked = centres(studio)
    changed = apart(masked, before)
    assert inner(cells) <= changed <= cells  # stone where the brush was, nothing else touched
    studio.locator("#prompt textarea").fill("a blue car")
    press(studio, "repaint")
    frames = studio.evaluate(FRAMES)
    for frame in frames:
        assert all(frame[c] == tokens[c] for c in set(range(256)) - cells)
    assert all(token < MASK for token in frames[-1])
    outside = set(range(256)) - cells
    # the tokens are exact; the decoder looks around, and its smoothing can be seen two cells away
    assert not apart(centres(studio), before) & inner(inner(outside))
    assert studio.locator(".cz-caption b >> nth=0").inner_text() == "a blue car"
    assert "repainted" in studio.locator(".cz-caption span >> nth=0").inner_text()


def test_break_and_heal_are_two_clicks_and_the_healing_is_seen(studio):
    make(studio, steps=8, prompt="three strawberries on a teal background", seed=0)
    before, tokens = centres(studio), studio.evaluate(TOKENS)
    edit(studio)
    studio.locator("[data-press=break-some]").click()
    told = until(studio, pending="0", drafted="26")
    wrong = studio.evaluate(TOKENS)
    broken = {c for c in range(256) if wrong[c] != tokens[c]}
    assert len(broken) == int(told["drafted"]) == 26
    assert len(apart(centres(studio), before) & broken) > 13
    press(studio, "heal")
    frames = studio.evaluate(FRAMES)
    assert len(frames) >= 3 and frames[0] == wrong
    assert int(dataset(studio)["edits"]) > 0
    assert "healing pass" in studio.locator(".cz-status").inner_text()
    mended = sum(frames[-1][c] == tokens[c] for c in broken)
    assert mended >= 13, f"{mended} of 26 came back"


def test_undo_and_redo_go_through_every_state_without_the_server(studio):
    make(studio)
    edit(studio, "lock", 1)
    states = [(centres(studio), dataset(studio)["locked"])]

    def note():
        states.append((centres(studio), dataset(studio)["locked"]))

    studio.mouse.click(*point(studio, 20))
    until(studio, locked="1")
    note()
    studio.keyboard.press("b")
    drag(studio, 100, 102)
    until(studio, drafted="3", pending="0")
    note()
    studio.keyboard.press("m")
    drag(studio, 200, 203)
    until(studio, drafted="7")
    note()
    run = press(studio, "repaint")
    note()
    asked = []
    studio.on("request", lambda request: asked.append(request.url))
    for pixels, locked in states[-2::-1]:
        studio.keyboard.press("Control+z")
        until(studio, locked=locked)
        assert not apart(centres(studio), pixels)
    assert studio.locator(
        ".cz-ways [data-press=undo]"
    ).is_disabled()  # the first picture itself is not undone
    for pixels, locked in states[1:-1]:
        studio.keyboard.press("Control+Shift+z")
        until(studio, locked=locked)
        assert not apart(centres(studio), pixels)
    studio.locator(".cz-ways [data-press=redo]").click()
    until(studio, run=run)
    assert not apart(centres(studio), states[-1][0])
    assert studio.locator(".cz-ways [data-press=redo]").is_disabled()
    assert not [url for url in asked if "component_server" in url or "queue/join" in url]


def test_everything_can_be_done_with_keys(studio):
    make(studio)
    tokens = studio.evaluate(TOKENS)
    edit(studio)
    canvas = studio.locator(".cz-canvas")
    canvas.focus()
    canvas.press("ArrowRight")
    until(studio, cell="136")
    canvas.press("l")
    until(studio, tool="lock")
    for key in ("Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowDown"):
        canvas.press(key)
    canvas.press(" ")
    until(studio, locked="6")
    assert set(
        studio.evaluate("() => [...window.chisel.locks().entries()].filter((e) => e[1]).map((e) => e[0])")
    ) == (block(136, 169))
    canvas.press("m")
    canvas.press("2")
    canvas.press("ArrowDown")  # one cell below the locked ones: a brush of 2x2 reaches right and down
    canvas.press("Enter")
    told = until(studio, masked="4", drafted="4")
    assert told["cell"] == "185"
    canvas.press("Enter")  # the same again brings them back
    until(studio, masked="0", drafted="0")
    assert studio.evaluate(TOKENS) == tokens
    canvas.press("i")
    canvas.press(" ")
    assert studio.get_by_label("Pause").is_visible()


def test_a_token_is_chosen_by_hand_and_stamped(studio):
    make(studio, prompt="three strawberries on a teal background", seed=0)
    tokens = studio.evaluate(TOKENS)
    edit(studio, "choose")
    source = next(c for c in range(256) if tokens[c] != tokens[0])
    studio.mouse.click(*point(studio, source))
    until(studio, cell=str(source))
    assert studio.evaluate(TOKENS) == tokens  # picking alone changes nothing
    studio.locator("[data-press=stamp]").click()
    studio.mouse.click(*point(studio, 0))
    until(studio, drafted="1", pending="0")
    assert studio.evaluate(TOKENS)[0] == tokens[source]
    assert (
        f"row 1, column 1 · token {tokens[source]} · changed by hand"
        in studio.locator(".cz-status").inner_text()
    )
    studio.locator("[data-press=stamp]").click()
    studio.locator("[data-press=clear]").click()
    until(studio, drafted="0")
    assert studio.evaluate(TOKENS) == tokens


def test_the_inspected_cell_is_locked_and_masked_from_its_panel(studio):
    make(studio)
    tokens = studio.evaluate(TOKENS)
    studio.mouse.click(*point(studio, 120))
    panel = studio.locator(".cz-inspector")
    panel.get_by_role("button", name="Lock").click()
    until(studio, locked="1", cell="120")
    assert panel.get_by_role("button", name="Remask").is_disabled()  # what is locked stays
    panel.get_by_role("button", name="Unlock").click()
    until(studio, locked="0")
    panel.get_by_role("button", name="Remask").click()
    until(studio, masked="1", drafted="1")
    assert studio.evaluate("document.body.dataset.task") == "edit"  # where Repaint is
    assert panel.get_by_role("button", name="Lock").is_disabled()
    panel.get_by_role("button", name="Bring back").click()
    until(studio, masked="0", drafted="0")
    assert studio.evaluate(TOKENS) == tokens
    panel.get_by_role("button", name="Remask").press("Enter")
    until(studio, masked="1")
    press(studio, "repaint")
    studio.keyboard.press("Control+z")
    until(studio, masked="1")
    studio.keyboard.press("Control+z")
    until(studio, masked="0")


def test_a_finger_paints_under_a_loupe(visit):
    page = visit(**PHONE)
    page.locator("#steps input[type=number]").fill("2")
    page.locator("#generate").tap()
    page.wait_for_function(f"() => {CANVAS}.state === 'done'")
    page.locator("#tasks [data-task=edit]").tap()
    page.locator("button[data-tool=mask]").tap()
    page.locator(".cz-canvas").scroll_into_view_if_needed()
    touch = page.context.new_cdp_session(page)

    def finger(kind, cell=None):
        points = [] if cell is None else [dict(zip("xy", point(page, cell), strict=True))]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    finger("touchStart", 17)
    page.locator(".cz-loupe").wait_for(state="visible")
    finger("touchMove", 19)
    finger("touchMove", 22)
    finger("touchEnd")
    until(page, masked="6")
    page.locator(".cz-loupe").wait_for(state="hidden")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("[data-press=repaint]").tap()
    page.wait_for_function(f"() => {CANVAS}.state === 'done' && {CANVAS}.kind === 'repaint'")


def test_two_fingers_zoom_and_paint_nothing(visit):
    page = visit(**PHONE)
    make(page, steps=2)
    page.locator("#tasks [data-task=edit]").tap()
    page.locator("button[data-tool=lock]").tap()
    page.locator(".cz-canvas").scroll_into_view_if_needed()
    touch = page.context.new_cdp_session(page)

    def fingers(kind, *cells):
        points = [
            {**dict(zip("xy", point(page, cell), strict=True)), "id": i} for i, cell in enumerate(cells)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 100)
    until(page, locked="1")
    fingers("touchStart", 100, 140)  # the second finger comes a moment later
    until(page, locked="0")
    page.locator(".cz-loupe").wait_for(state="hidden")
    fingers("touchMove", 85, 156)
    fingers("touchMove", 68, 172)
    fingers("touchEnd")
    assert until(page, locked="0")["cell"] == "-1"
    assert page.locator(".cz-ways [data-press=undo]").is_disabled()
    page.locator("button[data-tool=mask]").tap()
    fingers("touchStart", 40)
    fingers("touchMove", 42)
    fingers("touchEnd")
    until(page, masked="3")
    page.locator("[data-press=repaint]:enabled").wait_for()


def test_edits_stay_with_their_step_and_a_brush_never_reaches_a_run_that_goes_on(studio):
    make(studio, steps=4)
    edit(studio, "break", 2)
    studio.mouse.click(*point(studio, 50))
    until(studio, drafted="4", pending="0")
    scrub(studio, 2)
    assert dataset(studio)["drafted"] == "0"
    scrub(studio, int(dataset(studio)["last"]))
    assert dataset(studio)["drafted"] == "4"
    studio.locator("[data-press=clear]").click()
    until(studio, drafted="0")
    studio.locator("button[data-tool=mask]").click()
    studio.locator("[data-size=rectangle]").click()
    drag(studio, 0, 255)
    studio.locator("#steps input[type=number]").fill("48")
    studio.locator("[data-press=repaint]").click()
    studio.wait_for_function(f"() => {CANVAS}.state === 'running' && Number({CANVAS}.step) >= 1")
    drag(studio, 0, 40)
    assert dataset(studio)["drafted"] == "0"
    studio.locator("[data-press=stop]").click()
    until(studio, state="stopped")
    assert int(dataset(studio)["masked"]) > 0
    studio.locator("[data-press=repaint]:enabled").wait_for()


def test_a_picture_that_the_server_forgot_is_said_in_one_sentence(studio):
    run = make(studio)
    edit(studio, "mask", 3)
    studio.mouse.click(*point(studio, 120))
    until(studio, masked="9")
    studio.route(
        "**/queue/join*",
        lambda route: route.continue_(post_data=route.request.post_data.replace(run, "of-someone-else")),
    )
    studio.locator("[data-press=repaint]").click()
    studio.get_by_role("alert").filter(has_text="no longer kept on the server").wait_for()
    assert dataset(studio)["masked"] == "9"
    studio.locator(
        ".cz-ways [data-press=undo]"
    ).click()  # and the sentence goes as soon as the visitor goes on
    studio.wait_for_function("() => document.querySelector('.cz-notice').textContent === ''")
