"""Without editing: one button, three ways to look, a sentence whose numbers are right; healing says what came back."""

import io
import re

import pytest
from hands import TOKENS, edit, make, press, until
from PIL import Image

from ui.record.browser import dataset, scrub

PROMPT = "three strawberries on a teal background"
BOTH = """() => [window.chisel.run(), window.chisel.beside()].map((run) => ({
    tokens: run.frames.map((frame) => Array.from(frame.tokens)), edits: run.frames.at(-1).editsSoFar,
}))"""


def pixel(page, x, y):
    """The colour on screen at shares of the picture's width and height."""
    # of the picture alone: what stands below it belongs to the pair
    box = page.locator(".cz-canvas").bounding_box()
    shot = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
    return shot.getpixel((int(x * shot.width), int(y * shot.height)))


def centre(page, canvas, x, y):
    """The colour of a canvas at the same place."""
    return page.evaluate(
        """([name, x, y]) => {
            const canvas = document.querySelector(name);
            const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1];
            return Array.from(canvas.getContext("2d").getImageData(...at).data.slice(0, 3));
        }""",
        [canvas, x, y],
    )


def near(a, b):
    return max(abs(p - q) for p, q in zip(a, b, strict=True)) <= 16


@pytest.fixture
def compared(visit):
    page = visit(viewport={"width": 1280, "height": 720})
    make(page, steps=12, prompt=PROMPT, seed=0)
    button = page.locator(".cz-without")
    assert button.inner_text() == "Without editing" and button.is_enabled()
    button.click()
    until(page, besideState="done")
    return page


def test_the_sentence_counts_edits_and_differing_tokens(compared):
    page = compared
    one, other = page.evaluate(BOTH)
    differ = sum(a != b for a, b in zip(one["tokens"][-1], other["tokens"][-1], strict=True))
    assert one["edits"] > 0 and other["edits"] == 0
    told = page.locator(".cz-outcome")
    words = told.inner_text()
    assert re.match(rf"{one['edits']} edits?; ", words)
    assert f"{differ} of 256 tokens" in words if differ else "the same 256 tokens" in words, words
    # before the last step it says how it stands there
    k = 6
    scrub(page, k)
    here = sum(a != b for a, b in zip(one["tokens"][k], other["tokens"][k], strict=True))
    told.filter(has_text=re.compile(rf"\b{here} (differ )?at this step")).wait_for() if differ else None
    # the same noise: nothing is different before the first edit
    edits = page.evaluate("() => window.chisel.run().frames.map((frame) => frame.edited.length)")
    first = next(i for i, n in enumerate(edits) if n)
    assert one["tokens"][:first] == other["tokens"][:first]


def test_wipe_shows_one_picture_left_of_the_line_and_the_other_right_of_it(compared):
    page = compared
    scrub(page, 4)  # here stone and picture differ visibly in many cells
    page.locator("button[data-compare=wipe]").click()
    page.wait_for_timeout(300)
    slider = page.locator(".cz-wipe")
    assert slider.is_visible()
    slider.fill("100")
    assert near(pixel(page, 0.28, 0.53), centre(page, ".cz-canvas", 0.28, 0.53))
    assert near(pixel(page, 0.78, 0.53), centre(page, ".cz-canvas", 0.78, 0.53))
    slider.fill("0")
    assert near(pixel(page, 0.28, 0.53), centre(page, ".cz-canvas-beside", 0.28, 0.53))
    assert near(pixel(page, 0.78, 0.53), centre(page, ".cz-canvas-beside", 0.78, 0.53))
    # by hand: the line is dragged where the pointer goes, and cells can still be picked beside it
    slider.fill("50")
    box = page.locator(".cz-canvas").bounding_box()
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(middle - 0.25 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert 20 <= int(slider.input_value()) <= 30
    assert dataset(page)["cell"] == "-1"
    page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.03)
    until(page, cell="14")


def test_differences_pale_what_is_the_same_and_leave_what_differs(compared):
    page = compared
    page.locator(".cz-view[data-view=picture]").click()
    one, other = page.evaluate(BOTH)
    differ = [a != b for a, b in zip(one["tokens"][-1], other["tokens"][-1], strict=True)]
    plain = [centre(page, ".cz-canvas", (c % 16 + 0.5) / 16, (c // 16 + 0.5) / 16) for c in range(256)]
    page.locator("button[data-compare=difference]").click()
    page.wait_for_timeout(300)
    page.mouse.move(0, 0)
    now = [centre(page, ".cz-canvas", (c % 16 + 0.5) / 16, (c // 16 + 0.5) / 16) for c in range(256)]
    assert any(differ) and not all(differ)
    for cell in range(256):
        assert near(plain[cell], now[cell]) == differ[cell] or (
            not differ[cell] and min(plain[cell]) > 220
        ), cell
    page.locator(".cz-compare-stop").click()
    until(page, beside="")
    assert page.locator(".cz-without").is_visible()


def test_healing_ends_with_a_sentence_in_numbers(studio):
    make(studio, steps=8, prompt=PROMPT, seed=0)
    whole = studio.evaluate(TOKENS)
    edit(studio)
    studio.locator("[data-press=break-some]").click()
    until(studio, drafted="26", pending="0")
    broken = studio.evaluate(TOKENS)
    press(studio, "heal")
    healed = studio.evaluate(TOKENS)
    where = [i for i, (a, b) in enumerate(zip(whole, broken, strict=True)) if a != b]
    back = sum(healed[i] == whole[i] for i in where)
    others = sum(healed[i] != broken[i] for i in range(256) if i not in where)
    besides = f"{others} other" if others else "no other"
    words = studio.locator(".cz-outcome").inner_text()
    assert words.startswith(f"{back} of 26 broken tokens came back exactly; {besides}"), words


def test_the_same_comparison_again_brings_back_the_run_that_was_made(compared):
    page = compared
    ids = page.evaluate("() => window.chisel.runs().map((run) => run.id)")
    other = page.evaluate("() => window.chisel.beside().id")
    page.evaluate("() => document.addEventListener('chisel:ask', () => { window.asked = true; })")
    for _ in range(2):
        page.locator(".cz-compare-stop").click()
        page.locator(".cz-without:enabled").click()
        until(page, besideState="done")
        assert page.evaluate("() => window.chisel.beside().id") == other
    assert page.evaluate("() => window.chisel.runs().map((run) => run.id)") == ids
    assert page.locator(".cz-thumb").count() == 2 and not page.evaluate("() => window.asked ?? false")
    # made once more with the same seed it is still the same picture
    page.locator(".cz-compare-stop").click()
    page.locator("#keep-seed input").check()
    make(page, steps=12, prompt=PROMPT, seed=0)
    page.wait_for_function("() => document.querySelectorAll('.cz-thumb').length === 2")
