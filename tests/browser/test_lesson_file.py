"""A chapter as one file: opened from a disk without network, it shows the visitor's own runs and what was looked at."""

import os
import re

import pytest
from learn_hands import ALIKE, SIZES, apart, carved, cell_colour, chapter, lies_on_top
from studio_model import MASK

from ui.record.browser import CANVAS, dataset, scrub, settled

MOST = 3_000_000
CHAPTERS = ("token", "forward", "step", "sampler", "editing", "neighbours")


@pytest.fixture
def alone(chrome):
    """alone(path, size) opens a file in a browser without network; a script error or a request fails the test."""
    contexts, wrong = [], []

    def open_file(path, size="laptop"):
        width, height = SIZES[size]
        context = chrome.new_context(viewport={"width": width, "height": height}, offline=True)
        context.set_default_timeout(30_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"a script failed: {error}"))
        page.on(
            "request", lambda request: request.url.startswith(("file:", "data:")) or wrong.append(request.url)
        )
        page.goto(f"file://{path}")
        page.wait_for_function("() => document.body.dataset.ready || document.body.dataset.broken")
        assert page.evaluate("document.body.dataset.broken ?? ''") == ""
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert not wrong, wrong


def saved(page, folder):
    """The open chapter, saved; its path."""
    page.locator(".ls-save:enabled").wait_for()
    with page.expect_download(timeout=120_000) as download:
        page.locator(".ls-save").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    assert 0 < os.path.getsize(path) <= MOST
    page.locator(".ls-say", has_text=path.name).wait_for()
    return path


def test_every_chapter_becomes_a_file_that_opens_anywhere(studio, alone, tmp_path):
    carved(studio)
    for name in CHAPTERS:
        chapter(studio, name)
        if name == "neighbours":
            studio.locator("#explorer [data-now]").wait_for(timeout=60_000)
        path = saved(studio, tmp_path)
        assert path.name == f"chisel-lesson-{name}.html"
        for size in ("laptop", "phone"):
            page = alone(path, size)
            assert page.locator(".cz-chapter:visible").count() >= 1
            assert lies_on_top(page.locator(".cz-chapter > p").first), (name, size)
            page.evaluate("window.scrollTo(0, 0)")
            assert apart(page, ".cz-frame", ".cz-chapter"), (name, size)
            assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0], (name, size)
            # nothing looks like a way that leads nowhere: what the file has not got is named in words
            assert page.locator("[data-chapter-link], [data-open]").count() == 0, (name, size)
            if name == "editing":
                assert page.locator("span", has_text="masks and flips").count() == 1


def test_a_file_opens_with_the_run_that_came_after_what_was_looked_at(studio, alone, tmp_path):
    carved(studio)
    chapter(studio, "neighbours")
    studio.locator("#explorer [data-now]").wait_for(timeout=60_000)
    studio.locator("[data-explore=more]").click()
    studio.locator(".cz-sizes button").first.click()
    before = dataset(studio)["run"]
    studio.locator("#prompt textarea").fill("a panda on a teal background")
    studio.locator("#generate").click()
    settled(studio, other_than=before)
    page = alone(saved(studio, tmp_path))
    page.locator("[data-now]").first.wait_for()
    assert page.locator(".cz-members button").count() > 1 and page.locator(".ex-after tbody tr").count() > 3
    assert "This file holds" not in page.locator(".cz-explore-say").inner_text()


def test_the_runs_in_the_file_are_the_visitors_own(studio, alone, tmp_path):
    studio.locator("#prompt textarea").fill("a panda on a teal background")
    carved(studio)
    frames = "(r) => r.frames.map((f) => [Array.from(f.tokens), Array.from(f.p), f.edited, f.phase])"
    own = studio.evaluate(f"({frames})(window.chisel.run())")
    chapter(studio, "forward")
    studio.wait_for_function("() => !document.querySelector('.fw-mask').disabled")
    page = alone(saved(studio, tmp_path))
    assert page.evaluate(f"({frames})(window.chiselFile.stage.run)") == own
    assert page.locator(".ls-prompt").inner_text() == "a panda on a teal background"
    page.locator(".cz-view[data-view=changes]").click()
    page.keyboard.press("[")
    page.wait_for_function(f"() => {CANVAS}.step === String({CANVAS}.last - 1)")
    page.locator(".cz-view[data-view=picture]").click()
    scrub(page, 3)
    assert page.evaluate(f"{CANVAS}.masked") == str(own[3][0].count(MASK))
    stone = own[3][0].index(MASK)
    page.locator(".cz-range").press("End")
    page.wait_for_function(f"() => {CANVAS}.step === {CANVAS}.last")
    # the sliders of the chapter work on it, without a server: a cell is stone where it was none
    page.locator(".fw-mask").fill("100")
    page.wait_for_function(f"() => {CANVAS}.masked === '256'")
    assert all(abs(a - b) < 30 for a, b in zip(cell_colour(page, stone), (214, 206, 194), strict=True))
    page.locator(".fw-mask").fill("0")
    page.locator(".fw-flip").fill("20")
    page.wait_for_function(f"() => Number({CANVAS}.drafted) > 20")
    assert page.locator(".fw-back").is_hidden(), "nothing new can be computed in a file"


def test_what_was_broken_heals_again_in_the_file(studio, alone, tmp_path):
    carved(studio)
    chapter(studio, "editing")
    studio.locator("[data-share='10']").click()
    studio.locator(".cz-results tbody tr").first.wait_for(timeout=60_000)
    row = studio.locator(".cz-results tbody tr").first.inner_text()
    page = alone(saved(studio, tmp_path))
    assert page.locator(".cz-results tbody tr").first.inner_text() == row
    assert page.locator("[data-share]:visible").count() == 1
    page.locator(".lab-passes input").fill("0")
    page.wait_for_function(ALIKE)


def test_the_words_of_a_prompt_stay_words_in_the_file(studio, alone, tmp_path):
    words = "a cat </script><b>$&</b>"
    studio.locator("#prompt textarea").fill(words)
    carved(studio)
    chapter(studio, "token")
    page = alone(saved(studio, tmp_path))
    assert page.locator(".ls-prompt").inner_text() == words
    assert page.locator("b", has_text="$&").count() == 0


def test_a_file_saved_before_anything_was_tried_has_something_to_show_all_the_same(studio, alone, tmp_path):
    carved(studio)
    chapter(studio, "editing")
    page = alone(saved(studio, tmp_path))
    page.locator(".lab-pair").wait_for()
    assert " tokens differ in the end" in page.locator(".lab-again-say").inner_text()
    assert "10 %" in page.locator(".cz-results tbody tr").first.inner_text()
    assert page.locator(".lab-passes input").is_enabled()
    chapter(studio, "sampler")
    steps = studio.locator("#steps input[type=number]").input_value()
    page = alone(saved(studio, tmp_path))
    assert page.locator(".cz-by-hand-step").inner_text().startswith(f"Step 1 of {steps} + ")
    assert page.locator(".cz-by-hand-canvas").get_attribute("data-masked") == "256"


def test_where_nothing_can_be_tried_the_file_says_so(studio, alone, tmp_path):
    carved(studio)
    studio.evaluate("() => { window.chisel.run().kind = 'opened'; window.chisel.run().state = 'stopped'; }")
    chapter(studio, "editing")
    page = alone(saved(studio, tmp_path))
    assert (
        page.locator(".lab-again-say").inner_text() == "Nothing had been compared when this file was saved."
    )
    assert page.locator(".cz-lab-say").inner_text() == "Nothing had been broken when this file was saved."


def test_a_game_in_a_file_says_what_can_be_done_there(studio, alone, tmp_path):
    carved(studio)
    chapter(studio, "sampler")
    studio.locator("[data-hand=begin]:visible").click()
    studio.locator(".cz-by-hand-how", has_text="Choose which guesses are set").wait_for()
    page = alone(saved(studio, tmp_path))
    assert "Now it is yours" in page.locator(".cz-by-hand-about").inner_text()
    assert "go through the steps by their numbers" in page.locator(".cz-by-hand-how").inner_text()
    page.locator("[data-rule=least]").click()
    assert page.locator(".cz-by-hand-about").is_visible()


def test_the_group_keeps_its_cell_in_a_file(studio, alone, tmp_path):
    carved(studio)
    chapter(studio, "neighbours")
    studio.locator("#explorer [data-now]").wait_for(timeout=60_000)
    page = alone(saved(studio, tmp_path))
    host = page.locator("[data-now]").first
    host.wait_for()
    start = [host.get_attribute(f"data-{name}") for name in ("token", "cell")]
    for size in (64, 2, 16, 8):
        page.locator(".cz-sizes button", has_text=re.compile(f"^{size}$")).click()
        page.locator(".cz-explore-say", has_text=f"group of {size} together").wait_for()
        assert [host.get_attribute(f"data-{name}") for name in ("token", "cell")] == start
