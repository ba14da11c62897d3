"""A lock keeps a token in its own picture: no other picture on the stage shows it, and nothing ever puts it there."""

import io

import pytest
from hands import FRAMES, TOKENS, apart, block, centres, drag, edit, make, press, until
from PIL import Image
from studio_model import MASK

from ui.record.browser import CANVAS, dataset, settled

LOCKED = block(51, 86)  # 3 x 4 cells
AWAY = block(200, 218)


def lock_some(page):
    """Picture A, with cells locked; what it looks like with them, and its tokens."""
    make(page, prompt="a panda on a red background", seed=3)
    edit(page, "lock", "rectangle")
    drag(page, 51, 86)
    until(page, locked=str(len(LOCKED)))
    return dataset(page)["run"], page.evaluate(TOKENS)


def upload(page):
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "PNG")
    data = {"name": "a.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    page.locator(".up-picture-file").set_input_files([data])


def choose_of_shelf(page):
    page.locator(".cz-shelf .cz-thumb").last.click()


def open_file(page):
    own = dataset(page)["run"]
    choose_of_shelf(page)
    settled(page, other_than=own)
    with page.expect_download() as saved:
        page.get_by_role("button", name="JSON").click()
    page.keyboard.press("Control+z")
    until(page, run=own, locked=str(len(LOCKED)))
    page.locator(".up-run-file").set_input_files(saved.value.path())


@pytest.mark.parametrize("bring", [upload, choose_of_shelf, open_file])
def test_another_picture_has_none_of_the_locks(studio, bring):
    make(studio, prompt="a blue car", seed=8)
    own, _ = lock_some(studio)
    bring(studio)
    other = settled(studio, other_than=own)["run"]
    assert dataset(studio)["locked"] == "0"
    assert studio.locator(".cz-kept").inner_text() == "" and studio.locator(".cz-unlock").is_hidden()
    assert "is-off" in studio.locator(".cz-key-locked").get_attribute("class")
    before, plain = studio.evaluate(TOKENS), centres(studio)
    # the same picture without a visit of A: no padlock is drawn over it
    studio.evaluate("() => window.chisel.lock([51])")
    studio.evaluate("() => window.chisel.undo()")
    assert not apart(centres(studio), plain)
    edit(studio, "mask", "rectangle")
    drag(studio, 200, 218)
    until(studio, masked=str(len(AWAY)))
    press(studio, "repaint")
    for frame in studio.evaluate(FRAMES):
        assert all(frame[cell] == before[cell] for cell in set(range(256)) - AWAY)
    said = f"{len(AWAY)} tokens made anew; the other {256 - len(AWAY)} are as they were."
    assert studio.locator(".cz-outcome").inner_text() == said
    # each picture kept what was done to it, forth and back
    for _ in range(3):
        studio.keyboard.press("Control+z")
    until(studio, run=own, locked=str(len(LOCKED)))
    studio.keyboard.press("Control+Shift+z")
    until(studio, run=other, locked="0")


def test_variations_and_healing_leave_another_picture_its_tokens(studio):
    make(studio, prompt="a blue car", seed=8)
    own, _ = lock_some(studio)
    choose_of_shelf(studio)
    settled(studio, other_than=own)
    before = studio.evaluate(TOKENS)
    edit(studio, "mask", "rectangle")
    drag(studio, 200, 218)
    until(studio, masked=str(len(AWAY)))
    studio.locator("[data-press=vary]:enabled").click()
    studio.locator(".cz-variations-title").filter(has_text="3 variations").wait_for()
    for i in range(3):
        studio.locator(".cz-choices button").nth(i).click()
        studio.wait_for_function("() => window.chisel.still()")
        tokens = studio.evaluate(TOKENS)
        assert all(tokens[cell] == before[cell] for cell in set(range(256)) - AWAY)
        assert dataset(studio)["locked"] == "0"
    studio.locator(".cz-discard").click()
    studio.locator("[data-press=clear]").click()
    until(studio, masked="0")
    studio.locator("[data-press=break-some]").click()
    until(studio, drafted="26", pending="0")
    broken = studio.evaluate(TOKENS)
    press(studio, "heal")
    assert studio.evaluate(FRAMES)[0] == broken


def test_variations_around_locks_keep_them_and_the_accepted_one_too(studio):
    _, tokens = lock_some(studio)
    edit(studio, "mask", "rectangle")
    drag(studio, 0, 255)
    studio.locator("[data-press=vary]:enabled").click()
    studio.locator(".cz-variations-title").filter(has_text="3 variations").wait_for()
    until(studio, locked=str(len(LOCKED)))
    studio.locator(".cz-choices button").nth(1).click()
    studio.locator(".cz-accept").click()
    until(studio, locked=str(len(LOCKED)), state="done")
    assert all(studio.evaluate(TOKENS)[cell] == tokens[cell] for cell in LOCKED)


def test_generate_holds_locks_of_the_picture_on_view_and_of_no_other(studio):
    make(studio, prompt="a blue car", seed=8)
    own, tokens = lock_some(studio)
    choose_of_shelf(studio)
    settled(studio, other_than=own)
    studio.locator("#tasks [data-task=create]").click()
    make(studio, seed=9)
    assert studio.evaluate(FRAMES)[0] == [MASK] * 256
    # A once more: its locks are there, said, and kept in what Generate makes of it
    studio.locator(".cz-shelf .cz-thumb").nth(1).click()
    studio.wait_for_function(f"own => {CANVAS}.run === own", arg=own)
    assert f"{len(LOCKED)} locked cells stay" in studio.locator(".cz-kept").inner_text()
    make(studio, seed=10)
    assert dataset(studio)["locked"] == str(len(LOCKED))
    assert all(frame[cell] == tokens[cell] for frame in studio.evaluate(FRAMES) for cell in LOCKED)


def test_a_reload_gives_locks_back_to_their_own_picture_alone(studio):
    make(studio, prompt="a blue car", seed=8)
    own, _ = lock_some(studio)
    studio.reload()
    until_there = "own => window.chisel && document.querySelector('.cz-canvas')?.dataset.run === own"
    studio.wait_for_function(until_there, arg=own)
    until(studio, locked=str(len(LOCKED)))
    studio.locator(".cz-shelf .cz-thumb").nth(1).wait_for()
    choose_of_shelf(studio)
    settled(studio, other_than=own)
    assert dataset(studio)["locked"] == "0"
