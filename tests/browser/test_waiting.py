"""Visitors who wait for the model: each sees who is ahead, may leave, and is held up by nobody who left."""

from hands import hold, make

from ui.record.browser import dataset, settled


def fill(page, steps, seed):
    page.locator("#prompt textarea").fill("a cat")
    page.locator("#steps input[type=number]").fill(str(steps))
    page.locator("#seed input").fill(str(seed))


def ahead(page, words):
    """Waits until the page says who is ahead."""
    page.locator(".cz-notice").filter(has_text=f"{words} ahead of you").wait_for()


def test_four_visitors_at_once_see_their_place_and_nothing_mixes(visit):
    pages = [visit(viewport={"width": 900, "height": 700}) for _ in range(4)]
    make(pages[0], steps=1, seed=100)
    for i, page in enumerate(pages[1:], start=1):
        fill(page, 3, 100 + i)
    hold(pages[0])
    for page, words in zip(pages[1:], ("One visitor is", "2 visitors are", "3 visitors are"), strict=True):
        page.locator("#generate:enabled").click()
        ahead(page, words)
    assert pages[2].locator("#stop").inner_text() == "Cancel" and pages[2].locator("#generate").is_disabled()
    pages[2].locator("#stop").click()
    pages[2].locator("#generate:enabled").wait_for()
    assert dataset(pages[2])["state"] == "idle" and pages[2].locator(".cz-notice").inner_text() == ""
    ahead(pages[3], "2 visitors are")
    pages[0].locator("#stop").click()
    for i in (0, 1, 3):
        pages[i].locator("#generate:enabled").wait_for()
        settled(pages[i])
        assert pages[i].evaluate("window.chisel.run().seed") == 100 + i
        assert pages[i].locator(".cz-notice").inner_text() == ""
    make(pages[2], steps=2)


def test_a_tab_that_closes_while_it_waits_or_carves_holds_nobody_up(visit):
    first, second, third = (visit(viewport={"width": 900, "height": 700}) for _ in range(3))
    make(first, steps=1)
    for page in (second, third):
        fill(page, 2, 2)
    hold(first)
    second.locator("#generate:enabled").click()
    ahead(second, "One visitor is")
    third.locator("#generate:enabled").click()
    ahead(third, "2 visitors are")
    second.context.close()
    ahead(third, "One visitor is")
    first.context.close()
    settled(third)
