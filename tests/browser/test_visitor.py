"""What a new visitor stumbled over, done again as they did it."""

import pytest
from hands import make
from learn_hands import carved, chapter

from ui.record.browser import CANVAS, dataset


def test_brackets_step_whatever_was_pressed_before_but_not_where_text_is_typed(studio):
    make(studio, steps=3)
    last = int(dataset(studio)["last"])
    for pressed in ("button[data-task=edit]", ".cz-view[data-view=changes]", "button[data-task=create]"):
        studio.locator(pressed).click()
        studio.keyboard.press("[")
        studio.wait_for_function(f"k => {CANVAS}.step === k", arg=str(last - 1))
        studio.keyboard.press("]")
        studio.wait_for_function(f"k => {CANVAS}.step === k", arg=str(last))
    box = studio.locator("#prompt textarea")
    box.fill("a cat")
    box.press("[")
    assert box.input_value() == "a cat[" and dataset(studio)["step"] == str(last)
    studio.locator(".cz-canvas").press("[")  # once, not once more by the page
    studio.wait_for_function(f"k => {CANVAS}.step === k", arg=str(last - 1))


@pytest.mark.parametrize("width", [1280, 1366])
def test_no_chapter_is_cut_off_in_class_mode(visit, width):
    page = visit("/?class=1", viewport={"width": width, "height": 768})
    page.locator("button[data-task=learn]").click()
    page.locator(".cz-chapters button").first.wait_for()
    assert page.locator(".cz-chapters ol").evaluate("n => n.scrollWidth <= n.clientWidth")


def test_a_token_that_does_not_stand_there_in_the_end_is_said_to(studio):
    carved(studio)
    chapter(studio, "neighbours")
    studio.locator("#explorer [data-now]").wait_for(timeout=60_000)
    seen = set()
    for n in range(studio.locator(".cz-handful button").count()):
        button = studio.locator(".cz-handful button").nth(n)
        button.click()
        studio.locator(f"#explorer [data-now][data-token='{button.get_attribute('data-token')}']").wait_for()
        at = studio.locator("#explorer [data-now]").evaluate(
            "n => [Number(n.dataset.cell), Number(n.dataset.token)]"
        )
        end = studio.evaluate("cell => window.chisel.run().frames.at(-1).tokens[cell]", at[0])
        said = studio.locator(".cz-explore-say").inner_text()
        assert (f"In the end #{end} was set there." in said) == (end != at[1]), said
        seen.add(end == at[1])
    assert False in seen  # of a dozen tokens, one at least was likely where another was set
