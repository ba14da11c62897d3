"""Cells moved and copied, eraser and mask, a closer look, keys, hints and figures at the prompt, our own PNG."""

import base64
import re

import pytest
from hands import FRAMES, TOKENS, apart, block, centres, drag, edit, inner, make, point, press, until
from studio_model import MASK

from ui.record.browser import CANVAS, dataset, settled

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
BOX = "() => { const b = document.querySelector('#generate').getBoundingClientRect(); return [b.x, b.y, b.height]; }"

# Buttons that a finger can hardly meet, with their sizes.
SMALL = """() => [...document.querySelectorAll("#workbench button, .cz-header button, select")].map((one) => {
    const { width, height } = one.getBoundingClientRect();
    const seen = one.checkVisibility({ visibilityProperty: true }) && width > 2;
    const small = seen && (width < 43.5 || height < 43.5);
    return small ? `${one.className} ${one.textContent.trim().slice(0, 20)} ${width} x ${height}` : "";
}).filter(Boolean)"""
KEYS = """() => [...document.scripts].map((one) => one.textContent)
    .find((text) => text.startsWith("(window.chiselModules") && text.includes("chisel/hands/keys.js"))"""


def ring(cells):
    """The cells around these on a grid of 16."""
    near = {(c // 16 + dy, c % 16 + dx) for c in cells for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    return {y * 16 + x for y, x in near if 0 <= y < 16 and 0 <= x < 16} - cells


def test_cells_are_dragged_and_what_they_leave_is_made_anew(studio):
    make(studio, steps=2)
    before, pixels = studio.evaluate(TOKENS), centres(studio)
    edit(studio, "move")
    drag(studio, 5 * 16 + 3, 7 * 16 + 6)
    source = block(5 * 16 + 3, 7 * 16 + 6)
    until(studio, chosen=str(len(source)))
    drag(studio, 6 * 16 + 4, 9 * 16 + 8)  # three rows down, four columns right
    there = {c + 3 * 16 + 4 for c in source}
    masked = (source | ring(there)) - there
    until(studio, masked=str(len(masked)), pending="0")
    now = studio.evaluate(TOKENS)
    assert {c for c in range(256) if now[c] == MASK} == masked
    assert all(now[c + 52] == before[c] for c in source)
    assert all(now[c] == before[c] for c in set(range(256)) - masked - there)
    # the patch is seen in its new place, and stone where it was
    shown = centres(studio)
    assert (source - there) <= apart(shown, pixels)
    for c in inner(inner(source)) or inner(source):
        assert max(abs(a - b) for a, b in zip(shown[c + 52], pixels[c], strict=True)) <= 40
    press(studio, "repaint")
    frames = studio.evaluate(FRAMES)
    assert frames[0] == now and MASK not in frames[-1]
    assert all(frame[c + 52] == before[c] for frame in frames for c in source)
    studio.keyboard.press("Control+z")
    until(studio, masked=str(len(masked)))
    studio.keyboard.press("Control+z")
    until(studio, masked="0", drafted="0")
    assert studio.evaluate(TOKENS) == before


def test_cells_come_from_another_picture_by_the_keyboard_alone(studio):
    make(studio, steps=1, seed=1)
    first = studio.evaluate(TOKENS)
    make(studio, steps=1, seed=2, prompt="a dog")
    second = studio.evaluate(TOKENS)
    edit(studio)
    canvas = studio.locator(".cz-canvas")
    canvas.press("v")
    canvas.press("ArrowDown")  # the middle of the grid, 136
    for key in ("Shift+ArrowRight", "Shift+ArrowDown", "Enter"):
        canvas.press(key)
    cells = block(136, 153)
    until(studio, chosen="4")
    canvas.press("Control+c")
    studio.locator(".cz-thumb").nth(1).click()
    studio.wait_for_function("tokens => String(window.chisel.tokens()) === String(tokens)", arg=first)
    canvas.focus()
    canvas.press("Control+v")
    until(studio, masked=str(len(ring(cells))), chosen="4")
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft"):
        canvas.press(key)
    now = studio.evaluate(TOKENS)
    assert all(now[c - 33] == second[c] for c in cells)
    assert all(
        now[c] == first[c] for c in set(range(256)) - ring({c - 33 for c in cells}) - {c - 33 for c in cells}
    )
    canvas.press("Control+z")  # the arrows and the paste are one thing that was done
    until(studio, masked="0")
    assert studio.evaluate(TOKENS) == first


def test_a_finger_moves_cells_and_two_come_closer(visit):
    page = visit(**PHONE)
    make(page, steps=1)
    before = page.evaluate(TOKENS)
    page.locator("#tasks [data-task=edit]").tap()
    page.locator("button[data-tool=move]").tap()
    page.locator(".cz-canvas").evaluate("node => node.scrollIntoView({ block: 'start' })")
    touch = page.context.new_cdp_session(page)

    def fingers(kind, *places):
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for start, end in ((18, 35), (18, 20)):  # a frame of four cells, then the four cells to the right
        fingers("touchStart", point(page, start))
        fingers("touchMove", point(page, end - 1))
        fingers("touchMove", point(page, end))
        fingers("touchEnd")
    until(page, chosen="4")
    assert [page.evaluate(TOKENS)[c + 2] for c in block(18, 35)] == [before[c] for c in block(18, 35)]
    x, y = point(page, 100)
    fingers("touchStart", (x - 20, y), (x + 20, y))
    for apart_by in (26, 34, 40):
        fingers("touchMove", (x - apart_by, y), (x + apart_by, y))
    fingers("touchEnd")
    zoom = float(dataset(page)["zoom"])
    assert 1.6 < zoom <= 2.1
    there = point(page, 100)
    assert abs(there[0] - x) < 14 and abs(there[1] - y) < 14  # what was between the fingers is still there


def test_eraser_inverted_and_hidden_mask(studio):
    make(studio, steps=1)
    before, pixels = studio.evaluate(TOKENS), centres(studio)
    edit(studio, "mask", "rectangle")
    drag(studio, 51, 102)
    cells = block(51, 102)
    until(studio, masked=str(len(cells)))
    stone = centres(studio)
    studio.locator("[data-sight=bare]").click()
    assert not apart(centres(studio), pixels) & inner(cells)  # the picture under the mask
    studio.locator("[data-sight=bare]").click()
    assert not apart(centres(studio), stone)
    edit(studio, "erase", 1)
    studio.mouse.click(*point(studio, 51))
    until(studio, masked=str(len(cells) - 1))
    studio.locator("[data-press=invert]").click()
    until(studio, masked=str(256 - len(cells) + 1))
    now = studio.evaluate(TOKENS)
    assert {c for c in range(256) if now[c] == MASK} == (set(range(256)) - cells) | {51}
    assert all(now[c] == before[c] for c in cells - {51})


def test_the_wheel_comes_closer_to_what_is_under_the_pointer(studio):
    make(studio, steps=1)
    edit(studio)
    x, y = point(studio, 35)
    studio.mouse.move(x, y)
    for _ in range(4):
        studio.mouse.wheel(0, -100)
    studio.wait_for_function(f"() => Number({CANVAS}.zoom) > 2")
    there = point(studio, 35)
    assert abs(there[0] - x) < 5 and abs(there[1] - y) < 5  # a cell is 60 pixels wide by now
    studio.mouse.wheel(0, 1000)
    studio.mouse.wheel(0, 1000)
    until(studio, zoom="1")


def test_pixels_and_lines_are_seen_on_the_canvas_and_remembered(studio):
    make(studio, steps=1)

    def kinds():
        studio.wait_for_function("() => window.chisel.still()")
        studio.mouse.move(0, 0)
        return studio.evaluate("""() => {
            const canvas = document.querySelector(".cz-canvas");
            const row = canvas.getContext("2d").getImageData(0, Math.round(canvas.height * 0.53), canvas.width, 1).data;
            let steps = 0;
            for (let i = 4; i < row.length; i += 4) steps += row[i] !== row[i - 4] || row[i + 1] !== row[i - 3];
            return steps;
        }""")

    smooth = kinds()
    studio.locator("[data-sight=pixels]").click()
    studio.wait_for_timeout(100)
    sharp = kinds()
    assert sharp < smooth * 0.8  # a pixel of the picture is a flat square of several
    studio.locator("[data-sight=lines]").click()
    studio.wait_for_timeout(100)
    assert kinds() >= sharp + 15
    assert studio.evaluate("() => localStorage.getItem('chisel-sight')") == "pixels lines"


def test_a_sheet_of_all_keys_and_a_way_past_the_form(studio):
    studio.keyboard.press("Tab")
    skip = studio.locator(".cz-skip")
    assert skip.evaluate("node => document.activeElement === node")
    box = skip.bounding_box()
    at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    assert studio.evaluate("([x, y]) => document.elementFromPoint(x, y).className", at) == "cz-skip"
    studio.keyboard.press("Enter")
    assert studio.evaluate("document.activeElement.className") == "cz-canvas"
    studio.keyboard.press("?")
    sheet = studio.locator(".cz-sheet")
    sheet.wait_for()
    told = {key.strip().lower() for key in sheet.locator("kbd").all_inner_texts()}
    source = studio.evaluate(KEYS)
    used = set(re.findall(r"^ +([a-z0-9]): (?:\(|closer)", source, re.M))
    assert {"m", "v", "l"} <= used and used <= told | {"="}
    studio.keyboard.press("Escape")
    sheet.wait_for(state="hidden")
    studio.locator(".cz-help").click()
    sheet.get_by_role("button", name="Close").click()
    sheet.wait_for(state="hidden")


def test_a_moved_picture_is_in_its_link_before_and_after_the_repaint(visit, studio):
    make(studio, steps=1)
    edit(studio, "move")
    drag(studio, 51, 68)
    drag(studio, 51, 58)
    until(studio, pending="0")
    for act in ("", "repaint"):
        if act:
            press(studio, act)
        tokens = studio.evaluate(TOKENS)
        studio.get_by_role("button", name="Copy link").click()
        studio.wait_for_function("before => location.hash.length > 20 && location.hash !== before", arg="")
        studio.locator(".ex-say").filter(has_text=re.compile("^(Link copied|Copy the link)")).wait_for()
        other = visit(at="/" + studio.evaluate("location.hash"))
        settled(other)
        assert other.evaluate(TOKENS) == tokens
        assert (MASK in tokens) is not bool(act)


# ---- the prompt -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1280, 720), (390, 844)])
def test_a_hint_comes_and_generate_stays_where_it_is(visit, size):
    page = visit(viewport=dict(zip(("width", "height"), size, strict=True)))
    page.wait_for_function("() => document.querySelector('.cz-count').textContent.includes('/40')")
    before = page.evaluate(BOX)
    page.locator("#prompt textarea").fill("a hat without a cat and two blorps")
    hint = page.locator(".cz-prompt-hint")
    hint.filter(has_text="It cannot read “without”").wait_for()
    assert page.evaluate(BOX) == before
    button = hint.get_by_role("button", name="Write top hat instead of hat")
    box = button.bounding_box()
    at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).textContent", at) == "top hat"
    button.click()
    assert page.locator("#prompt textarea").input_value() == "a top hat without a cat and two blorps"


def test_where_nothing_is_known_the_stage_says_so_with_three_to_tap(studio):
    make(studio, steps=1, prompt="blorp <b>zzz</b>")
    said = studio.locator(".cz-nothing")
    said.filter(has_text="Nothing in “blorp <b>zzz</b>” is known here").wait_for()
    offers = said.locator(".cz-offer")
    assert offers.count() == 3
    assert offers.locator("img").evaluate_all("all => all.every((one) => one.naturalWidth > 0)")
    box = offers.first.bounding_box()
    at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    assert studio.evaluate("([x, y]) => Boolean(document.elementFromPoint(x, y).closest('.cz-offer'))", at)
    before, name = dataset(studio)["run"], offers.first.inner_text().strip()
    offers.first.click()
    settled(studio, other_than=before)
    assert studio.locator(".cz-caption b >> nth=0").inner_text() == name
    assert said.count() == 0


def test_both_limits_of_a_prompt_are_counted(studio):
    count = studio.locator(".cz-count")
    studio.locator("#prompt textarea").fill("a cat")
    count.filter(has_text="5/500 · 2/40").wait_for()
    studio.locator("#prompt textarea").fill("zq " * 60)
    studio.locator(".cz-count.is-over").filter(has_text="of 40 tokens: too long").wait_for()


def test_guidance_slides_where_it_works_and_every_word_is_explained(studio):
    assert studio.locator("#guidance input[type=range]").get_attribute("max") == "5"
    for field in ("#seed-note", "#steps", "#guidance", "#editing"):
        assert len(studio.locator(field).inner_text()) > 30
    assert "Keep" in studio.locator("#seed-note").inner_text()
    edit(studio)
    assert "whole picture" in studio.locator(".cz-note >> nth=0").inner_text()


def test_a_phone_has_the_prompt_beside_the_picture_and_targets_for_fingers(visit):
    page = visit(**PHONE)
    make(page, steps=1)
    page.locator("#tasks [data-task=edit]").tap()
    bar = page.locator(".cz-bar-prompt input")
    bar.fill("two mushrooms on yellow")
    assert page.locator("#prompt textarea").input_value() == "two mushrooms on yellow"
    box = bar.bounding_box()
    assert (
        page.evaluate("([x, y]) => document.elementFromPoint(x, y).tagName", [box["x"] + 40, box["y"] + 20])
        == "INPUT"
    )
    for task in ("create", "edit"):
        page.locator(f"#tasks [data-task={task}]").tap()
        small = page.evaluate(SMALL)
        assert not small, small


# ---- our own files ----------------------------------------------------------------------------------------


def test_a_png_that_was_saved_here_opens_with_tokens_and_prompt(studio, tmp_path):
    make(studio, steps=2, seed=7, prompt="a cat on a beach")
    edit(studio, "move")
    drag(studio, 51, 102)
    drag(studio, 51, 56)
    until(studio, pending="0")
    tokens = studio.evaluate(TOKENS)
    with studio.expect_download() as saved:
        studio.get_by_role("button", name="PNG").click()
    path = tmp_path / "ours.png"
    saved.value.save_as(path)
    studio.locator("#tasks [data-task=create]").click()
    make(studio, steps=1, prompt="a dog")
    run = dataset(studio)["run"]
    edit(studio)
    studio.locator(".up-picture-file").set_input_files(path)
    settled(studio, other_than=run)
    assert studio.evaluate(TOKENS) == tokens
    assert studio.locator("#prompt textarea").input_value() == "a cat on a beach"
    assert "saved here" in studio.locator(".up-say").inner_text()
    # pasted it does the same
    run = dataset(studio)["run"]
    data = base64.b64encode(path.read_bytes()).decode()
    studio.evaluate(
        """(data) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const given = new DataTransfer();
            given.items.add(new File([bytes], "x.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given, bubbles: true }));
        }""",
        data,
    )
    settled(studio, other_than=run)
    assert studio.evaluate(TOKENS) == tokens


def test_at_twice_the_size_the_page_moves_to_the_picture(visit):
    page = visit(viewport={"width": 640, "height": 360}, device_scale_factor=2, reduced_motion="reduce")
    page.evaluate("() => document.querySelector('#generate').scrollIntoView({ block: 'end' })")
    make(page, steps=1)
    box = page.locator(".cz-frame").first.bounding_box()
    assert -4 <= box["y"] <= 40
    at = [box["x"] + box["width"] / 2, 200]
    assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).className", at) == "cz-canvas"
