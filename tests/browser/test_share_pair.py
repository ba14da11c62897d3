"""Links that hold more than one run: two that are compared, and a game, opened by somebody who was not there."""

import pytest
from browser_hands import generate

from ui.record.browser import CANVAS, dataset, settled

BOTH = """() => [window.chisel.run(), window.chisel.beside()].map((run) => ({ prompt: run.prompt, seed: run.seed,
    editing: run.settings.edit, tokens: run.frames.map((frame) => Array.from(frame.tokens)) }))"""
PAIRED = f"() => {CANVAS}.besideState === 'done' && {CANVAS}.state === 'done'"
GAME = ".cz-by-hand"
LOOKS = """() => { const { masked, set, back } = document.querySelector(".cz-by-hand-canvas").dataset;
    return { masked, set, back }; }"""


def link_of(page, kind):
    """The hash that Copy link puts into the address."""
    page.locator(".ex-link:enabled").click()
    page.wait_for_function("kind => location.hash.startsWith(`#${kind}=`)", arg=kind)
    page.locator(".ex-say").filter(has_text="ink").wait_for()
    return page.evaluate("location.hash")


def paired(page):
    """Both runs, once both are there and the address has settled how they are looked at."""
    page.wait_for_function(PAIRED, timeout=90_000)
    return page.evaluate(BOTH)


# ---- two runs ----------------------------------------------------------------------------------------------


def test_a_link_of_without_editing_makes_both_runs_again_as_they_were_looked_at(visit):
    page = visit()
    generate(page, prompt="three strawberries on a teal background", steps=8, seed=0)
    page.locator(".cz-without:enabled").click()
    made = paired(page)
    page.locator("button[data-compare=wipe]").click()
    page.evaluate("window.chisel.go(3)")
    page.wait_for_function(f"() => {CANVAS}.step === '3'")
    link = link_of(page, "c3")
    assert "both" in page.locator(".ex-say").inner_text()
    assert len(link) < 1200
    other = visit(at=f"/{link}")
    assert paired(other) == made
    assert [one["editing"] for one in made] == ["overwrite", "off"] and made[0]["tokens"] != made[1]["tokens"]
    other.wait_for_function(f"() => {CANVAS}.step === '3'")
    assert other.locator("button[data-compare=wipe]").get_attribute("aria-pressed") == "true"
    # the form is that of the first, and the link is still the same one
    assert other.locator("#editing input").is_checked()
    assert other.evaluate("location.hash") == link and link_of(other, "c3") == link
    # who stops comparing has no link of two any more
    other.locator(".cz-compare-stop").click()
    assert other.evaluate("location.hash") == ""
    assert link_of(other, "c2") != link


def test_a_link_of_two_prompts_on_the_same_noise_opens_with_both(visit):
    page = visit()
    page.locator("#prompt textarea").fill("a panda on a red background")
    page.locator("#steps input[type=number]").fill("4")
    page.locator(".cz-twin summary").click()
    page.locator(".cz-twin-prompt").fill("a panda on a blue background")
    page.locator("[data-twin=compare]").click()
    made = paired(page)
    other = visit(at=f"/{link_of(page, 'c3')}")
    assert paired(other) == made
    assert [one["prompt"] for one in made] == ["a panda on a red background", "a panda on a blue background"]
    assert other.locator("#prompt textarea").input_value() == made[0]["prompt"]
    other.locator(".cz-twin-now").filter(has_text="“blue” for “red”").wait_for()
    assert other.locator(".cz-twin-prompt").input_value() == made[1]["prompt"]


def test_what_was_shared_is_not_made_beside_another_picture(visit):
    """Whoever asks for something else while the first of two is made gets that alone."""
    page = visit()
    generate(page, steps=2, seed=3)
    page.locator(".cz-without:enabled").click()
    paired(page)
    other = visit(at=f"/{link_of(page, 'c3')}")
    first = settled(other)["run"]
    other.evaluate("() => window.chisel.ask({ kind: 'generate', change: { seed: 5, steps: 2 } })")
    settled(other, other_than=first)
    other.wait_for_timeout(800)
    assert dataset(other)["beside"] in ("", None) and other.evaluate("window.chisel.run().seed") == 5


# ---- a game ------------------------------------------------------------------------------------------------


def step(page, k):
    """Waits until step k is to be decided."""
    page.wait_for_function(
        """k => document.querySelector(".cz-by-hand").dataset.state !== "busy"
            && document.querySelector(".cz-by-hand-step").textContent.startsWith(`Step ${k} of`)
            && document.querySelector(".cz-by-hand-step").offsetParent""",
        arg=k,
        timeout=60_000,
    )


def begun(page, steps=4):
    """A game of a few choices that no sampler would make: step 3 is to be decided."""
    generate(page, prompt="a panda on a teal background", steps=steps, seed=9)
    page.locator("[data-task=learn]").click()
    page.locator("[data-open=sampler]").click()
    page.locator(".cz-by-hand-start [data-hand=begin]").click()
    step(page, 1)
    page.locator("[data-rule=least]").click()
    page.locator(".cz-by-hand-heat input").fill("1.5")
    page.locator(".cz-by-hand-heat i").filter(has_text="guesses changed").wait_for()
    page.locator("[data-hand=take]").click()
    step(page, 2)
    page.locator("[data-rule=chance]").click()
    page.locator("[data-hand=take]").click()
    step(page, 3)


def game_link(page):
    page.locator("[data-hand=link]:visible").click()
    page.wait_for_function("() => location.hash.startsWith('#c4=')")
    return page.evaluate("location.hash")


def board(page):
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate(LOOKS)


def finish(page):
    """The rest by the rule; the tokens of every step of the game."""
    page.locator("[data-rule=surest]").click()
    page.locator("[data-hand=rest]").click()
    return over(page)


def over(page):
    page.locator(".cz-by-hand-count[data-differ]").wait_for(timeout=90_000)
    return page.evaluate("() => window.chisel.run().frames.map((frame) => Array.from(frame.tokens))")


def test_a_link_of_a_game_plays_its_choices_and_it_goes_on_from_there(visit):
    page = visit()
    begun(page)
    link, stands = game_link(page), board(page)
    assert page.locator(".cz-by-hand-say").inner_text().endswith("with the choices so far.")
    other = visit(at=f"/{link}")
    step(other, 3)
    # the chapter is open, with the same prompt, seed and settings, and every choice can be gone back to
    assert other.locator(GAME).is_visible() and board(other) == stands
    assert other.locator(".cz-by-hand-steps button").count() == 3
    assert other.locator("#prompt textarea").input_value() == "a panda on a teal background"
    assert other.locator("#seed input").input_value() == "9"
    assert other.evaluate("location.hash") == link and game_link(other) == link
    # one who goes on leaves the link behind, and the same choices lead to the same picture
    ends = finish(page)
    assert page.evaluate("location.hash") == ""
    assert finish(other) == ends
    assert ends[1] != ends[2] and len(ends) > 4
    # and the game that is over has a link too, from the stage as from the chapter
    last = game_link(other)
    other.locator("#tasks [data-task=create]").click()
    assert other.evaluate("location.hash") == last
    assert link_of(other, "c4") == last != link
    third = visit(at=f"/{last}")
    assert over(third) == ends
    assert dataset(third)["kind"] == "hand" and third.evaluate("location.hash") == last


@pytest.mark.parametrize("kind", ["c3", "c4"])
def test_a_damaged_link_of_two_or_of_a_game_gets_one_sentence_and_the_page_works_on(visit, kind):
    page = visit(at=f"/#{kind}=broken")
    said = page.locator(".cz-notice" if kind == "c3" else ".cz-by-hand-first")
    words = "This link is damaged or was cut off: ask for it again."
    said.filter(has_text=words).wait_for()
    assert said.inner_text() == words and page.get_by_text(words).locator("visible=true").count() == 1
    for bad in ("A" * 7000, "<img src=x onerror=window.hacked=1>"):
        page.evaluate("link => { location.hash = link; }", f"{kind}={bad}")
        said.filter(has_text=words).wait_for()
    assert page.evaluate("window.hacked") is None
    page.wait_for_function("() => document.querySelector('.cz-by-hand').dataset.state !== 'busy'")
    page.locator("#tasks [data-task=create]").click()
    generate(page, steps=2)
    assert page.evaluate("location.hash") == ""
    assert page.locator(".cz-notice").inner_text() == ""
