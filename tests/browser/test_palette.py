"""The palette says that there is more of it, and tells what a press did where it was pressed."""

import io

import pytest
from PIL import Image

SIZES = [(390, 844), (1280, 720), (1920, 1080)]
BOX = "node => { const b = node.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; }"


def opened(visit, size, scheme="light"):
    phone = {"has_touch": True, "is_mobile": True} if size[0] < 500 else {}
    page = visit(viewport=dict(zip(("width", "height"), size, strict=True)), color_scheme=scheme, **phone)
    page.locator(".cz-palette summary").click()
    page.locator(".cz-word").first.wait_for()
    page.locator(".cz-palette").evaluate("n => n.scrollIntoView()")
    page.wait_for_timeout(100)
    return page


def contrast(page, box):
    """How far the lightest and the darkest grey of a strip of the list lie apart."""
    left, top, right, bottom = box
    clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    low, high = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("L").getextrema()
    return high - low


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_last_line_fades_while_there_is_more(visit, size, scheme):
    page = opened(visit, size, scheme)
    words = page.locator(".cz-palette-list")
    assert words.evaluate("n => n.scrollHeight > n.clientHeight + 100")
    # wherever it is scrolled to, words come out of the paper at its lower edge
    for at in (0, 133, 260):
        words.evaluate("(n, at) => { n.scrollTop = at; }", at)
        left, top, right, bottom = words.evaluate(BOX)
        inside = (left + 4, right - 20)  # without the bar
        assert contrast(page, (inside[0], bottom - 5, inside[1], bottom)) <= 8, at
        assert contrast(page, (inside[0], top + 60, inside[1], bottom - 60)) >= 60, at
    assert words.evaluate("n => getComputedStyle(n).scrollbarWidth") == "thin"
    # at its end nothing is left under it
    words.evaluate("n => { n.scrollTop = n.scrollHeight; }")
    last = page.locator(".cz-word").last.evaluate(BOX)
    assert last[3] <= words.evaluate(BOX)[3] - 40


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_what_was_added_is_said_where_the_hand_is(visit, size):
    page = opened(visit, size)
    words = page.locator(".cz-palette-list")
    words.evaluate("n => { n.scrollTop = 400; }")
    before = words.evaluate(BOX)
    middle = (before[1] + before[3]) / 2
    chip = page.locator(".cz-word").nth(
        page.evaluate(
            """middle => [...document.querySelectorAll(".cz-word")].findIndex((n) => {
                const box = n.getBoundingClientRect();
                return box.top < middle && middle < box.bottom + 8;
            })""",
            middle,
        )
    )
    word, own = chip.inner_text(), chip.evaluate(BOX)
    page.mouse.click((own[0] + own[2]) / 2, (own[1] + own[3]) / 2)
    said = page.locator(".cz-added").filter(has_text=f"{word} added")
    said.wait_for()
    prompt = page.locator("#prompt textarea").input_value()
    assert word in prompt and f"“{prompt}”" in said.inner_text()
    left, top, right, bottom = said.evaluate(BOX)
    assert left >= 0 and top >= 0 and right <= size[0] and bottom <= size[1]
    # beside the word that was pressed, not over it, and nothing moved under the hand
    assert bottom <= own[1] or top >= own[3]
    assert min(abs(own[1] - bottom), abs(top - own[3])) <= 12
    assert left <= own[2] and right >= own[0]
    moved = [words.evaluate(BOX), chip.evaluate(BOX)]
    assert all(
        abs(a - b) < 1 for m, o in zip(moved, (before, own), strict=True) for a, b in zip(m, o, strict=True)
    )


def test_another_search_is_read_from_its_top(visit):
    page = opened(visit, (1280, 720))
    words = page.locator(".cz-palette-list")
    words.evaluate("n => { n.scrollTop = 400; }")
    page.locator(".cz-palette input").fill("a")
    page.wait_for_timeout(100)
    assert words.evaluate("n => n.scrollTop") == 0
    page.locator(".cz-palette input").press("Enter")
    said, search = page.locator(".cz-added"), page.locator(".cz-palette input").evaluate(BOX)
    said.filter(has_text="added").wait_for()
    assert abs(said.evaluate(BOX)[1] - search[3]) <= 12
