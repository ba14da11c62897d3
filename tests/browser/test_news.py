"""Sentences of the page: they stand where one looks, and go as soon as they are no longer true."""

import base64

import pytest
from hands import drag, edit, make, point, press, until

from ui.record.browser import CANVAS, dataset, settled

NO_PICTURE = {"name": "x.png", "mimeType": "image/png", "buffer": b"no image."}
NO_RUN = {"name": "x.json", "mimeType": "application/json", "buffer": b"{}"}
# All of the sentence is in the window, and it is what lies there.
IN_SIGHT = """(name) => {
    const node = document.querySelector(name), box = node.getBoundingClientRect();
    const middle = [box.left + box.width / 2, box.top + box.height / 2];
    const ends = [[box.left + 3, box.top + 3], middle, [box.left + 3, box.bottom - 3]];
    return node.textContent !== "" && box.height > 10 && box.top >= 0 && box.bottom <= innerHeight
        && ends.every(([x, y]) => document.elementFromPoint(x, y) === node);
}"""


def news(page):
    """What stands in bold under the timeline; "" where nothing does."""
    line = page.locator(".cz-outcome")
    return line.inner_text() if "is-news" in line.get_attribute("class") else ""


def test_what_came_of_a_run_goes_with_the_next_change_and_comes_back_with_undo(studio):
    make(studio)
    edit(studio, "mask", "rectangle")
    drag(studio, 0, 68)
    until(studio, masked="25")
    press(studio, "repaint")
    said = "25 tokens made anew; the other 231 are as they were."
    assert news(studio) == said
    studio.locator("[data-press=break-some]").click()
    until(studio, drafted="26", pending="0")
    assert news(studio) == "" and "made anew" not in studio.locator(".cz-outcome").inner_text()
    assert "26 by hand" in studio.locator(".cz-status").inner_text().replace("changed ", "")
    studio.keyboard.press("Control+z")
    until(studio, drafted="0")
    assert news(studio) == said
    edit(studio, "move", "rectangle")
    drag(studio, 100, 102)
    studio.keyboard.press("ArrowDown")
    studio.wait_for_function(f"() => Number({CANVAS}.drafted) > 0")
    assert news(studio) == ""
    # also at a step where the hand did nothing, as the sentence speaks of the end
    studio.locator(".cz-range").fill("1")
    until(studio, step="1")
    assert news(studio) == ""


def test_what_healing_brought_back_and_what_a_comparison_counts_go_too(studio):
    make(studio)
    edit(studio)
    studio.locator("[data-press=break-some]").click()
    until(studio, drafted="26", pending="0")
    press(studio, "heal")
    assert "came back exactly" in news(studio)
    edit(studio, "mask", 1)
    studio.mouse.click(*point(studio, 120))
    until(studio, masked="1")
    assert news(studio) == ""
    studio.locator("#tasks [data-task=create]").click()
    make(studio, seed=2)
    edit(studio)
    studio.locator(".cz-compare").select_option("seed")
    studio.wait_for_function(f"() => {CANVAS}.besideState === 'done'")
    studio.wait_for_function("() => document.querySelector('.cz-outcome').textContent.includes('at the end')")
    studio.locator("[data-press=break-some]").click()
    until(studio, drafted="26", pending="0")
    assert news(studio) == ""


def paste(page):
    page.evaluate(
        """(data) => {
            const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
            const given = new DataTransfer();
            given.items.add(new File([bytes], "x.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given, bubbles: true }));
        }""",
        base64.b64encode(NO_PICTURE["buffer"]).decode(),
    )


def drop(page):
    page.evaluate("""() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(["{}"], "x.json", { type: "application/json" }));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }""")


def pick_picture(page):
    page.locator("#tasks [data-task=edit]").click()
    page.locator(".up-picture-file").set_input_files([NO_PICTURE])


def pick_run(page):
    page.locator("#tasks [data-task=edit]").click()
    page.locator(".up-run-file").set_input_files([NO_RUN])


SIZES = [(1280, 720), (1024, 640), (390, 844)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_file_that_is_refused_is_answered_in_sight(visit, size):
    page = visit(viewport=dict(zip(("width", "height"), size, strict=True)))
    make(page, steps=1)
    edit(page, "mask")  # as tall as the panel gets
    for bring in (pick_picture, pick_run, paste, drop):
        page.locator("#tasks [data-task=create]").click()
        page.evaluate("() => window.scrollTo(0, 0)")
        bring(page)
        page.locator(".up-say").filter(has_text=".").wait_for()
        page.wait_for_function("() => !document.querySelector('.up-say').textContent.startsWith('Reading')")
        assert page.evaluate(IN_SIGHT, ".up-say"), (bring.__name__, page.evaluate("scrollY"))
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    # and it goes as the visitor goes on
    page.locator("[data-press=break-some]").click()
    until(page, pending="0")
    assert page.locator(".up-say").inner_text() == ""


def test_a_refused_prompt_is_answered_in_sight_wherever_the_form_is_scrolled_to(visit):
    page = visit(viewport={"width": 1280, "height": 720})
    make(page, steps=1)
    page.locator("#advanced > button").click()
    page.locator("#prompt textarea").fill("")
    page.evaluate("() => window.scrollTo(0, document.documentElement.scrollHeight)")
    page.wait_for_function("() => scrollY > 200")
    page.locator("#generate:enabled").click()
    page.locator(".cz-notice").filter(has_text="Type what you would like").wait_for()
    assert page.evaluate(IN_SIGHT, ".cz-notice")


def test_what_was_said_of_a_file_is_over_with_the_next_change(studio, tmp_path):
    make(studio, steps=1)
    edit(studio)
    with studio.expect_download() as saved:
        studio.get_by_role("button", name="PNG").click()
    saved.value.save_as(tmp_path / "ours.png")
    run = dataset(studio)["run"]
    studio.locator(".up-picture-file").set_input_files(tmp_path / "ours.png")
    settled(studio, other_than=run)
    studio.locator(".up-say").filter(has_text="saved here").wait_for()
    studio.locator("[data-press=break-some]").click()
    until(studio, drafted="26")
    assert studio.locator(".up-say").inner_text() == ""


def test_the_choice_of_cells_is_changed_in_plain_words_in_as_little_room(visit):
    page = visit(viewport={"width": 1024, "height": 768})
    make(page, steps=1)
    edit(page, "move")
    row = page.locator(".cz-move")
    height = row.bounding_box()["height"]
    others, none = row.locator("[data-press=choose-others]"), row.locator("[data-press=choose-none]")
    assert (others.inner_text(), none.inner_text()) == ("Invert", "Deselect")
    assert "all the other cells" in others.get_attribute("title")
    assert "no cell is chosen" in none.get_attribute("title")
    for button in row.locator("button").all():
        assert button.evaluate("(node) => node.scrollWidth <= node.clientWidth")
    others.evaluate("(node) => { node.textContent = 'Others'; }")
    none.evaluate("(node) => { node.textContent = 'None'; }")
    assert height <= row.bounding_box()["height"]


def test_the_figures_beside_the_prompt_are_explained(studio):
    studio.locator("#prompt textarea").fill("a cat")
    count = studio.locator(".cz-count")
    count.filter(has_text="5/500 · 2/40").wait_for()
    words = count.get_attribute("title")
    assert words.startswith("5 of 500 characters, 2 of 40 tokens. ") and "pieces of words" in words
    heard = count.evaluate("""(node) => Array.from(node.childNodes)
        .filter((one) => one.getAttribute("aria-hidden") !== "true").map((one) => one.textContent).join("")""")
    assert heard == "5 of 500 characters, 2 of 40 tokens"
    assert count.inner_text().startswith("5/500 · 2/40")
