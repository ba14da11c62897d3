"""Two prompts on the same noise, from one field in Create: asked by one press, counted step by step, drawn as bars."""

from studio_model import MASK

from ui.record.browser import dataset, settled

DONE = "() => document.querySelector('.cz-canvas').dataset.besideState === 'done'"


def open_fold(page, first="a panda on a red background", steps=4):
    page.locator("#prompt textarea").fill(first)
    page.locator("#steps input[type=number]").fill(str(steps))
    page.locator(".cz-twin summary").click()
    return page.locator(".cz-twin-prompt")


def test_one_press_makes_both_and_the_second_is_the_same_but_for_its_words(studio):
    field = open_fold(studio)
    studio.wait_for_function("() => document.querySelector('.cz-twin-prompt').value")
    assert field.input_value() == "a panda on a blue background"  # another colour, to begin with
    field.press("Enter")
    studio.wait_for_function(DONE, timeout=90_000)
    pair = studio.evaluate(
        """() => [window.chisel.run(), window.chisel.beside()].map((run) => ({ prompt: run.prompt, seed: run.seed,
            settings: JSON.stringify(run.settings), tokens: run.frames.map((frame) => Array.from(frame.tokens)) }))"""
    )
    first, second = pair
    assert (first["prompt"], second["prompt"]) == (
        "a panda on a red background",
        "a panda on a blue background",
    )
    assert first["seed"] == second["seed"] and first["settings"] == second["settings"]
    assert studio.locator("#prompt textarea").input_value() == first["prompt"]  # the form keeps its own
    bars = studio.locator(".cz-twin-chart span")
    last = max(len(first["tokens"]), len(second["tokens"]))
    assert bars.count() == last
    for k in range(last):
        a, b = (one["tokens"][min(k, len(one["tokens"]) - 1)] for one in pair)
        differ = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
        alone = sum(MASK in both for both in differ)
        bar = bars.nth(k)
        assert (bar.get_attribute("data-other"), bar.get_attribute("data-alone")) == (
            str(len(differ) - alone),
            str(alone),
        )
        high = bar.evaluate(
            "(node) => [...node.children].reduce((sum, part) => sum + part.offsetHeight, 0) / node.offsetHeight"
        )
        assert abs(high - len(differ) / 256) < 0.04
    now = studio.locator(".cz-twin-now")
    assert f"{len(differ)} of 256 tokens" in now.inner_text() and "“blue” for “red”" in now.inner_text()
    bars.nth(2).click()
    studio.wait_for_function("() => document.querySelector('.cz-canvas').dataset.step === '2'")
    assert "Here, after step 2:" in now.inner_text() and "is-here" in bars.nth(2).get_attribute("class")


def test_the_picture_on_the_stage_is_used_again_where_it_is_the_first_prompts(studio):
    field = open_fold(studio)
    studio.locator("#generate").click()
    own = settled(studio)["run"]
    field.fill("a panda")
    studio.locator("[data-twin=compare]").click()
    studio.wait_for_function(DONE, timeout=90_000)
    assert dataset(studio)["run"] == own
    assert "Without “on a red background”" in studio.locator(".cz-twin-now").inner_text()
    studio.locator(".cz-compare-stop").click()
    assert not studio.locator(".cz-twin-told").is_visible()


def test_what_makes_no_pair_is_said_and_nothing_is_asked(studio):
    field = open_fold(studio)
    say = studio.locator(".cz-twin-say")
    for text, words in (
        ("", "Type the other prompt first."),
        (" A panda  on a RED background ", "Both prompts are the same"),
    ):
        field.fill(text)
        studio.locator("[data-twin=compare]").click()
        say.filter(has_text=words).wait_for()
    assert dataset(studio)["run"] == ""


def test_on_a_phone_it_fits_and_is_large_enough(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.locator(".cz-twin summary").tap()
    field = page.locator(".cz-twin-prompt")
    for box in (field.bounding_box(), page.locator("[data-twin=compare]").bounding_box()):
        assert box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
