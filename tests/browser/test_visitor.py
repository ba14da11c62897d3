"""What a new visitor stumbled over, done again as they did it."""

import re

import pytest
from hands import make
from learn_hands import carved, chapter, lies_on_top, window

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


def test_every_chapter_ends_in_the_same_place_with_the_way_on(studio):
    carved(studio)
    chapter(studio, "token")
    names = studio.locator("#place [data-open]").evaluate_all("all => all.map((tab) => tab.dataset.open)")
    names.remove("lessons")
    on = studio.locator(".cz-onward [data-chapter-link]")
    ends = set()
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        studio.wait_for_function(
            "name => document.querySelector('#place [data-chapter]').dataset.chapter === name", arg=name
        )
        assert on.count() == 1 and lies_on_top(on), name
        foot, box = studio.locator("#learn-foot").bounding_box(), on.bounding_box()
        assert 0 <= foot["y"] - (box["y"] + box["height"]) < 40, (
            name,
            "right above what the place ends with",
        )
        ends.add(on.get_attribute("data-chapter-link") == following)
        assert studio.locator(".cz-make-own").is_visible() == (name == names[-1])
        if name != names[-1]:
            assert on.inner_text().startswith("Next: ")
            on.click()
    assert ends == {True} and on.inner_text() == "Back to the start: what a token is"
    studio.locator(".cz-make-own").click()
    studio.wait_for_function("() => document.body.dataset.task === 'create'")
    assert studio.evaluate("document.activeElement.matches('#prompt textarea')")


def test_steps_and_polish_are_counted_apart_wherever_they_are_told(studio):
    make(studio, steps=4)
    run = studio.evaluate("() => [window.chisel.run().planned, window.chisel.run().polish]")
    polish = run[1]
    assert run[0] == 4 and polish >= 1 and int(dataset(studio)["last"]) == 4 + polish
    status = studio.locator(".cz-status")
    studio.mouse.move(0, 0)
    status.filter(has_text=f"step {4 + polish}, polish pass {polish} of {polish} ·").wait_for()
    assert f"4 steps + {polish} polish" in studio.locator(".cz-range").get_attribute("title")
    assert studio.locator(".cz-bar.is-polish").count() == polish
    assert f"4 steps + {polish} polish" in studio.locator(".cz-thumb").first.get_attribute("aria-label")
    chapter(studio, "step")
    studio.locator(".os-step", has_text=f"Step 2 of 4 + {polish} polish").wait_for()
    studio.locator(".os-guide", has_text="1 + 1.5 = 2.5 times").wait_for()
    chapter(studio, "sampler")
    begun = studio.locator(".cz-by-hand-with").inner_text()
    assert re.search(r"4 steps \+ \d polish$", begun), "as the form asks for"
    chapter(studio, "editing")
    studio.locator(".lab-threshold", has_text=re.compile(r"^ \(0\.\d+ in this picture: \d+ %\)$")).wait_for()


def test_a_number_is_explained_where_it_stands(studio):
    make(studio, steps=3)
    studio.locator(".cz-canvas").press("ArrowRight")
    entropy = studio.locator(".cz-h")
    entropy.filter(has_text=re.compile(r"^\d\.\d\d nats, as among [\d.,]+ equal choices$")).wait_for()
    assert entropy.evaluate("n => n.scrollWidth <= n.clientWidth")
    studio.locator("#advanced button").first.click()
    studio.locator("#edit-threshold", has_text="0.6 is 60 %").wait_for()


@pytest.mark.parametrize("size", ["laptop", "desk", "phone"])
def test_the_tour_begins_where_its_words_are_true_and_covers_nothing_it_speaks_of(visit, size):
    page = visit(**window(size))
    last = carved(page)["last"]
    chapter(page, "neighbours")
    page.locator("[data-tour=start]").scroll_into_view_if_needed()
    page.locator("[data-tour=start]").click()
    card = page.locator(".cz-tour")
    assert "Every cell is masked" in card.inner_text()
    page.wait_for_function(f"() => {CANVAS}.masked === '256'")
    told = []
    while True:
        page.wait_for_timeout(400)
        told.append(page.locator(".cz-tour-title").inner_text())
        lies = page.evaluate(
            """() => {
                const ringed = document.querySelector(".cz-spot");
                const [card, spot] = [document.querySelector(".cz-tour"), ringed].map((n) => n.getBoundingClientRect());
                const over = card.left < spot.right && spot.left < card.right
                    && card.top < spot.bottom && spot.top < card.bottom;
                const inside = card.left >= 0 && card.right <= innerWidth
                    && card.top >= 0 && card.bottom <= innerHeight;
                // nothing lies over the ringed place, neither the header nor a stage that stays
                const seen = [spot.top + 6, (spot.top + spot.bottom) / 2, spot.bottom - 6].every((y) => {
                    const top = document.elementFromPoint((spot.left + spot.right) / 2, y);
                    return top && (ringed.contains(top) || top.contains(ringed) && !top.closest("#stage, #header"));
                });
                return { over, inside, seen, card: card.toJSON(), spot: spot.toJSON() };
            }"""
        )
        assert lies["inside"] and lies["seen"] and not lies["over"], (size, told[-1], lies)
        if len(told) == 2:  # skipped: the picture stands as it stood before
            assert dataset(page)["step"] == last
        if told[-1].startswith("Break it"):
            break
        page.locator(".cz-tour").get_by_role("button", name="Skip").click()
    assert len(told) == 7 and "Why neighbours deserve credit" in told
    card.press("Escape")
    page.locator("[data-tour=start]").click()
    page.wait_for_function(f"() => {CANVAS}.masked === '256'")
    card.press("Escape")
    page.wait_for_function(f"() => {CANVAS}.masked === '0'")
