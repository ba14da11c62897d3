"""Learn as a place: what is read lies open at every size, and each chapter drives the stage."""

import math

import pytest
from learn_hands import ALIKE, SIZES, apart, carved, cell_colour, chapter, lies_on_top, painted, window
from studio_model import LEVELS, MASK

from ui.record.browser import CANVAS, arrived, dataset, scrub, settled

CHAPTERS = ("token", "forward", "step", "editing", "neighbours")
STONE = (214, 206, 194)  # of the light look, give or take its grain


def is_stone(colour):
    return all(abs(a - b) < 30 for a, b in zip(colour, STONE, strict=True))


# ---- the place ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_the_lessons_for_teachers_can_be_read(visit, size):
    """Asked of the window: what lies at the place of each heading, once one has scrolled there, is that heading."""
    page = visit(**window(size))
    chapter(page, "lessons")
    headings = page.locator("#lessons h2")
    headings.first.wait_for()
    assert headings.count() == 4
    for i in range(4):
        assert lies_on_top(headings.nth(i)), headings.nth(i).inner_text()
    last = page.locator("#lessons li").last
    assert lies_on_top(last), "the end of the text can be reached"
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


@pytest.mark.parametrize("size", SIZES)
def test_every_chapter_lies_beside_the_stage_and_over_nothing(visit, size):
    page = visit(**window(size))
    carved(page)
    for name in CHAPTERS:
        chapter(page, name)
        for part in (".cz-chapter-title", f".cz-chapter[data-chapter={name}] > p >> nth=0"):
            assert lies_on_top(page.locator(part).first), (name, part)
        page.evaluate("window.scrollTo(0, 0)")
        assert apart(page, ".cz-frame", f".cz-chapter[data-chapter={name}]"), name
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0], name
        stage = page.locator(".cz-canvas").bounding_box()
        assert stage["x"] >= 0 and stage["x"] + stage["width"] <= SIZES[size][0], name
        shown = page.locator(".cz-chapter:visible").evaluate_all(
            "nodes => nodes.map((n) => n.dataset.chapter)"
        )
        assert set(shown) == {name}


@pytest.mark.parametrize(
    "name, told",
    [
        ("step", "document.querySelector('.os-mini-words').textContent"),
        ("token", "/of the 256 cells|No other cell/.test(document.querySelector('.tk-count').textContent)"),
        ("neighbours", "document.querySelector('.cz-members').childElementCount"),
    ],
)
def test_a_chapter_opened_by_its_address_follows_the_picture_that_a_reload_brings_back(visit, name, told):
    page = visit()
    carved(page)
    chapter(page, name)
    page.reload()
    page.wait_for_function("window.chisel?.run()?.state === 'done'")
    page.wait_for_function(told)


@pytest.mark.parametrize("size", ["laptop", "desk"])
def test_the_stage_with_its_timeline_stays_in_the_window_while_one_reads(visit, size):
    page = visit(**window(size))
    carved(page)
    chapter(page, "step")
    for top in (0, 10_000):
        page.evaluate("y => window.scrollTo(0, y)", top)
        for part in (".cz-canvas", ".cz-play", ".cz-track"):
            box = page.locator(part).bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= SIZES[size][1], (part, top)


def test_on_a_phone_the_stage_stays_above_what_is_read(visit):
    page = visit(**window("phone"))
    carved(page)
    chapter(page, "forward")
    page.locator(".fw-mask").evaluate("n => n.scrollIntoView({ block: 'end' })")
    canvas = page.locator(".cz-canvas").bounding_box()
    assert canvas["y"] >= 0 and canvas["y"] + canvas["height"] <= 844 / 2 + 20
    assert lies_on_top(page.locator(".fw-mask"))


def test_a_chapter_has_an_address_of_its_own(visit, address):
    page = visit(at="/?chapter=forward")
    page.wait_for_function("() => document.body.dataset.task === 'learn'")
    page.locator(".fw-mask").wait_for()
    chapter(page, "step")
    assert "chapter=step" in page.url
    page.goto(f"{address}/?chapter=nonsense")
    arrived(page).wait_for_function("() => document.body.dataset.task === 'create'")


def test_show_me_takes_the_stage_to_what_the_lesson_speaks_of(studio):
    carved(studio)
    chapter(studio, "lessons")
    links = studio.locator("#lessons a", has_text="Show me")
    links.first.wait_for()
    studio.locator("#lessons a[href*='step=1,view=changes']").click()
    studio.wait_for_function(f"() => {CANVAS}.step === '1' && {CANVAS}.overlay === 'changes'")
    edits = studio.evaluate("window.chisel.run().frames.findIndex((f) => f.edited.length)")
    if edits > 0:
        studio.locator("#lessons a[href*='step=edit,view=changes']").click()
        studio.wait_for_function(f"k => {CANVAS}.step === k", arg=str(edits))
    studio.locator("#lessons a[href*='chapter=forward']").press("Enter")
    studio.locator(".fw-mask").wait_for()
    assert dataset(studio)["step"] == dataset(studio)["last"]


def test_the_whole_page_weighs_700_kb_at_most(chrome, address):
    """As it comes over the wire, with all that Gradio loads, until every chapter has been opened."""
    context = chrome.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    sizes = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(address)
    arrived(page)
    for chapter_name in CHAPTERS:
        chapter(page, chapter_name)
    context.close()
    assert len(sizes) > 10 and 200_000 < sum(sizes) <= 700_000, sum(sizes)


# ---- tokens -------------------------------------------------------------------------------------------------


def test_a_dial_of_the_codebook_turns_the_cell_on_the_stage(studio):
    carved(studio)
    chapter(studio, "token")
    studio.locator(".tk-turn").first.wait_for()
    dials = studio.locator(".tk-turn")
    sizes = [dials.nth(i).locator("button").count() for i in range(dials.count())]
    assert sizes == list(LEVELS) and math.prod(sizes) == MASK
    cell = int(dataset(studio)["cell"])
    before, colour = studio.evaluate("c => window.chisel.tokens()[c]", cell), cell_colour(studio, cell)
    dial = studio.locator(".tk-turn").first.locator("button[aria-pressed=false]").first
    dial.press("Enter")
    studio.wait_for_function(f"() => {CANVAS}.drafted === '1' && {CANVAS}.pending === '0'")
    after = studio.evaluate("c => window.chisel.tokens()[c]", cell)
    assert abs(after - before) < 8 and after != before  # the first dial turns in steps of one
    painted(studio)
    assert cell_colour(studio, cell) != colour
    studio.locator(".tk-name", has_text=f"#{after}").wait_for()
    studio.locator(".tk-undo").click()
    studio.wait_for_function(f"() => {CANVAS}.drafted === '0'")


def test_all_cells_of_a_token_are_ringed_on_the_stage(studio):
    carved(studio)
    chapter(studio, "token")
    studio.locator(".tk-same").click()
    told = studio.evaluate(
        """() => { const t = window.chisel.tokens(), c = Number(document.querySelector(".cz-canvas").dataset.cell);
            return t.reduce((n, one) => n + (one === t[c]), 0); }"""
    )
    assert studio.locator(".tk-count").inner_text().startswith(f"{told} of the 256") or told == 1
    studio.locator(".tk-same", has_text="Hide its cells").wait_for()
    chapter(studio, "step")
    chapter(studio, "token")
    assert studio.locator(".tk-same").get_attribute("aria-pressed") == "false"


# ---- masks and flips ----------------------------------------------------------------------------------------


def test_the_noise_sliders_spoil_the_picture_as_training_does(studio):
    carved(studio)
    chapter(studio, "forward")
    studio.wait_for_function("() => !document.querySelector('.fw-mask').disabled")
    whole = studio.evaluate("Array.from(window.chisel.tokens())")
    reached = set()
    for t in (30, 60, 90):
        studio.locator(".fw-mask").fill(str(t))
        studio.locator(".fw-mask").dispatch_event("change")
        expected = round(round(math.cos(math.pi / 2 * (1 - t / 100)), 4) * 256)
        studio.wait_for_function(f"n => {CANVAS}.masked === n", arg=str(expected))
        masked = set(
            studio.evaluate(
                "m => window.chisel.tokens().reduce((a, t, c) => t === m ? [...a, c] : a, [])", MASK
            )
        )
        assert reached < masked, "what is stone at some level is stone at every higher one"
        reached = masked
    painted(studio)
    cells = sorted(reached)
    assert sum(is_stone(cell_colour(studio, cell)) for cell in cells[::16]) >= len(cells[::16]) - 1
    studio.locator(".fw-mask").fill("0")
    studio.locator(".fw-flip").fill("20")
    studio.locator(".fw-flip").dispatch_event("change")
    studio.wait_for_function(f"() => {CANVAS}.masked === '0' && Number({CANVAS}.drafted) > 20")
    assert 25 < int(dataset(studio)["drafted"]) < 80  # a fifth of 256, by lot
    studio.locator(".fw-whole").click()
    studio.wait_for_function(f"() => {CANVAS}.drafted === '0'")
    assert studio.evaluate("Array.from(window.chisel.tokens())") == whole


def test_the_model_goes_back_from_the_noise_and_it_is_counted(studio):
    before = carved(studio)
    whole = studio.evaluate("Array.from(window.chisel.tokens())")
    chapter(studio, "forward")
    studio.wait_for_function("() => !document.querySelector('.fw-mask').disabled")
    studio.locator(".fw-mask").fill("40")
    studio.locator(".fw-flip").fill("10")
    start = studio.evaluate("Array.from(window.chisel.tokens())")
    studio.locator(".fw-back").click()
    settled(studio, other_than=before["run"])
    said = studio.locator(".fw-say", has_text="came back exactly").inner_text()
    after = studio.evaluate("Array.from(window.chisel.tokens())")
    masked = [c for c in range(256) if start[c] == MASK]
    flipped = [c for c in range(256) if start[c] not in (MASK, whole[c])]
    assert f"{sum(after[c] == whole[c] for c in masked)} of {len(masked)} masked tokens" in said
    assert f"{sum(after[c] == whole[c] for c in flipped)} of {len(flipped)} flipped ones" in said
    studio.locator(".fw-whole").click()
    studio.wait_for_function(f"run => {CANVAS}.run === run", arg=before["run"])


# ---- one step -----------------------------------------------------------------------------------------------


def test_one_step_opens_into_its_parts_and_follows_the_timeline(studio):
    carved(studio)
    chapter(studio, "step")
    studio.locator(".os-table tbody tr").first.wait_for()
    for k in (5, 3):  # at the third bars stand without a gap
        scrub(studio, k)
        frame = studio.evaluate(
            "k => { const f = window.chisel.run().frames[k]; return [f.set.length, f.edited.length]; }", k
        )
        studio.locator(".os-decide-n", has_text=f"{frame[0]} set, {frame[1]} replaced").wait_for()
    for part in ("words", "cells", "transformer", "chances", "decide", "pixels"):
        studio.locator(f".os-flow [data-part={part}]").click()
        about = studio.locator(f"[data-about={part}]")
        about.wait_for()
        assert studio.locator("[data-about]:visible").count() == 1
        assert lies_on_top(about.locator("p").first), part
    studio.locator(".os-flow [data-part=words]").click()
    assert (
        " ".join(studio.locator(".os-pieces li").all_inner_texts())
        == "three strawberries on a teal background"
    )
    studio.locator(".os-flow [data-part=decide]").click()
    blue = studio.evaluate(
        """() => { const c = document.querySelector(".os-sorted canvas");
            const d = c.getContext("2d").getImageData(0, c.height - 1, c.width, 1).data;
            let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] < 80 && d[i + 2] > 180;
            return n / c.width; }"""
    )
    told = studio.evaluate(
        "(() => { const r = window.chisel.run(); return r.frames[3].set.length / r.frames[2].masked; })()"
    )
    assert abs(blue - told) < 0.05, "as many bars are blue as tokens were set"


def test_the_chances_are_the_models_own_at_that_step(studio):
    run = carved(studio)["run"]
    chapter(studio, "step")
    scrub(studio, 4)
    studio.evaluate("window.chisel.select(70)")
    asked = studio.evaluate("run => window.chisel.server.look_up({ run, step: 4, cell: 70 })", run)
    best = f"#{int(asked['top'][0][0])}"
    studio.wait_for_function(
        "best => document.querySelector('.os-table tbody th')?.textContent === best", arg=best
    )


# ---- changing its mind --------------------------------------------------------------------------------------


def test_the_same_noise_without_editing_is_drawn_beside_and_counted(studio):
    carved(studio)
    chapter(studio, "editing")
    before = studio.locator(".cz-canvas").bounding_box()
    studio.locator(".lab-again").click()
    said = studio.locator(".lab-again-say", has_text="differ in the end")
    said.wait_for(timeout=60_000)
    told = studio.evaluate(
        """() => { const [a, b] = [window.chisel.run(), window.chisel.beside()];
            const [x, y] = [a, b].map((r) => r.frames[r.last].tokens);
            return [a.frames[a.last].editsSoFar, x.reduce((n, t, c) => n + (t !== y[c]), 0), b.settings.edit]; }"""
    )
    assert told[2] == "off"
    edits = "edit" if told[0] == 1 else "edits"
    assert said.inner_text().startswith(f"{told[0]} {edits} against 0; {told[1]} of 256 tokens differ")
    assert studio.locator(".cz-canvas").bounding_box() == before, "the stage keeps its size and place"
    for side in ("own", "beside"):
        assert studio.locator(f"[data-pair={side}]").bounding_box()["width"] > 300
    scrub(studio, 3)
    differ = studio.evaluate(
        """() => { const [a, b] = [window.chisel.run(), window.chisel.beside()];
            return String(a.frames[3].tokens.reduce((n, t, c) => n + (t !== b.frames[3].tokens[c]), 0)); }"""
    )
    studio.wait_for_function("n => document.querySelector('[data-differ]').dataset.differ === n", arg=differ)
    studio.locator(".lab-stop").click()
    studio.locator(".lab-pair").wait_for(state="hidden")


def test_four_large_grids_heal_in_step(studio):
    carved(studio)
    chapter(studio, "editing")
    studio.locator("[data-share='20']").click()
    studio.locator(".cz-results tbody tr").first.wait_for(timeout=60_000)
    sizes = [studio.locator("[data-picture]").nth(i).bounding_box()["width"] for i in range(4)]
    assert max(sizes) - min(sizes) < 1 and sizes[0] > 240
    slider = studio.locator(".lab-passes input")
    last = int(slider.get_attribute("max"))

    def drawn(name):
        return studio.evaluate("n => document.querySelector(`[data-picture=${n}]`).toDataURL()", name)

    healed = drawn("on")
    slider.fill("0")
    studio.wait_for_function("() => document.querySelector('[data-pass]').dataset.pass === '0'")
    studio.wait_for_function(ALIKE)
    assert drawn("broken") != healed and last >= 1
    box = studio.locator("[data-picture=whole]").bounding_box()
    studio.locator("[data-picture=whole]").click(
        position={"x": box["width"] * 0.53, "y": box["height"] * 0.28}
    )
    assert dataset(studio)["cell"] == str(4 * 16 + 8)


# ---- neighbours ---------------------------------------------------------------------------------------------


def test_neighbours_get_credit_before_and_after_a_step_and_the_cell_is_ringed(studio):
    carved(studio)
    chapter(studio, "neighbours")
    host = studio.locator("#explorer [data-now]")
    host.wait_for(timeout=60_000)
    studio.locator(".ex-plane button").first.wait_for()
    assert studio.locator(".ex-plane button").count() == 64
    assert studio.locator(".ex-plane .is-here").count() == 1
    assert studio.locator(".ex-plane .is-inside").count() == 4  # 2 x 2 of the 2 x 2 x 2 codes
    cell = int(host.get_attribute("data-cell"))
    ring = studio.evaluate(
        """(cell) => { const c = document.querySelector(".cz-canvas"), side = c.width / 16;
            const x = Math.round((cell % 16) * side), y = Math.round((Math.floor(cell / 16) + 0.5) * side);
            const line = c.getContext("2d").getImageData(Math.max(x - 3, 0), y, 7, 1).data;
            return Array.from(line).filter((_, i) => i % 4 === 0); }""",
        cell,
    )
    assert max(ring) > min(ring) + 100, "a light line stands at the edge of the cell"
    before = host.get_attribute("data-token")
    studio.locator("[data-explore=neighbour]").click()
    studio.wait_for_function(
        "old => document.querySelector('#explorer [data-now]').dataset.token !== old", arg=before
    )
    studio.locator(".cz-explorer .cz-slider input").fill("0")
    assert host.get_attribute("data-now") == host.get_attribute("data-then")
    studio.locator(".cz-explorer .cz-slider input").fill("20")
    then, now = (float(host.get_attribute(name)) for name in ("data-then", "data-now"))
    assert now > then, "the favourite is blamed less when its neighbour is right"
    studio.locator(".cz-handful button").nth(1).click()
    studio.locator(".cz-handful button:nth-child(2)[aria-pressed=true]").wait_for()
    for weight in ("1", "4", "20"):
        studio.locator(".cz-explorer .cz-slider input").fill(weight)
        _, plain, grouped = map(float, host.get_attribute("data-shares").split())
        assert grouped > plain, (
            "the group's share of what is not right, whether its own chance rises or falls"
        )
    assert "λ = 1.00" in studio.locator(".ex-after-say").inner_text()
    studio.locator("[data-along='0']").select_option("3")
    studio.wait_for_function("() => document.querySelectorAll('.ex-plane .is-inside').length === 2")


def test_learn_can_be_walked_by_keyboard_alone(studio):
    carved(studio)
    chapter(studio, "editing")
    studio.locator(".cz-onward button:visible").press("Enter")
    studio.wait_for_function(
        "() => document.querySelector('#place [data-chapter]').dataset.chapter === 'neighbours'"
    )
    assert studio.evaluate("document.activeElement.className") == "cz-chapter-title"
