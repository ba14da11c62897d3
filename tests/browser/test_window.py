"""The stage fills the window: what is pressed is in it without scrolling, the picture is as large as it can be, and
nothing moves under a hand."""

import pytest
from hands import edit, make, press, until

from ui.record.browser import dataset, scrub, settled

SIZES = [(1280, 720), (1920, 1080), (2560, 1440)]
# what lies at the middle of an element is the element itself, and all of it is in the window
AT_HAND = """(names) => names.filter((name) => {
    const node = document.querySelector(name), box = node.getBoundingClientRect();
    const within = box.top >= 0 && box.left >= 0 && box.bottom <= innerHeight && box.right <= innerWidth;
    const whole = within && box.width > 0;
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return !(whole && top && (node === top || node.contains(top)));
})"""
WATCH = """() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
        for (const one of list.getEntries()) {
            const what = one.sources.map(({ node }) => `${node?.nodeName} ${node?.className} ${node?.id}`);
            window.shifts.push([one.value, ...what]);
        }
    }).observe({ type: "layout-shift", buffered: false });
}"""
PLACES = """(names) => names.map((name) => {
    const { x, y, width } = document.querySelector(name).getBoundingClientRect();
    return [x, y, width];
})"""
TIME = [".cz-play", ".cz-back", ".cz-next", ".cz-range", ".cz-canvas"]


def hidden(page, *names):
    return page.evaluate(AT_HAND, list(names))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_picture_play_button_and_timeline_are_in_the_window(visit, size):
    width, height = size
    page = visit(viewport={"width": width, "height": height})
    assert not hidden(page, *TIME, "#generate")
    make(page)
    assert not hidden(
        page,
        *TIME,
        "#generate",
        ".cz-without",
        ".cz-ways [data-press=undo]",
        "[data-press=branch]",
        ".ex-link",
    )
    box = page.locator(".cz-canvas").bounding_box()
    # of the window's height only header and timeline are taken
    assert box["height"] >= height - 46 - 112 - 40
    assert abs(box["width"] - box["height"]) < 2
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    # also where the form is longer than the window and scrolled to its end
    page.locator("#advanced > button").click()
    page.mouse.move(100, 400)
    page.mouse.wheel(0, 4000)
    page.wait_for_timeout(200)
    assert not hidden(page, *TIME)
    page.evaluate("() => scrollTo(0, 0)")
    edit(page)
    assert not hidden(page, *TIME, "button[data-tool=mask]")


@pytest.mark.parametrize("size", [(900, 760), (1100, 700), (1440, 560)], ids=str)
def test_other_windows_have_all_of_it_too(visit, size):
    page = visit(viewport=dict(zip(("width", "height"), size, strict=True)))
    make(page)
    assert not hidden(page, *TIME)
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_a_phone_has_the_picture_as_wide_as_it_is(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    make(page)
    box = page.locator(".cz-canvas").bounding_box()
    assert box["width"] >= 350
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    play = page.locator(".cz-play").bounding_box()
    assert play["y"] > box["y"] + box["height"]


@pytest.mark.parametrize("size", SIZES[:2], ids=str)
def test_two_runs_side_by_side_keep_the_timeline_in_the_window(visit, size):
    page = visit(viewport=dict(zip(("width", "height"), size, strict=True)))
    make(page, steps=4)
    page.locator(".cz-without").click()
    until(page, besideState="done")
    for way in ("side", "difference", "wipe"):
        page.locator(f"[data-compare={way}]").and_(page.locator("button")).click()
        page.wait_for_timeout(100)
        names = [name for name in TIME if way != "wipe" or name != ".cz-canvas"]
        assert not hidden(page, *names, ".cz-compare-stop"), way
        assert page.locator(".cz-canvas").bounding_box()["width"] >= 0.3 * size[0]


def test_nothing_moves_while_a_run_starts_a_hint_comes_or_an_inspector_opens(visit):
    page = visit(viewport={"width": 1280, "height": 720})
    page.locator("#advanced").wait_for()
    stage = [*TIME, ".cz-views", ".cz-inspector"]
    blank = page.evaluate(PLACES, stage)
    make(page, steps=2)
    assert page.evaluate(PLACES, stage) == blank  # the first run brings shelf, buttons and panel
    held = [*stage, "#generate", "#seed"]
    before = page.evaluate(PLACES, held)
    page.locator("#steps input[type=number]").fill("6")
    page.evaluate(WATCH)
    run = dataset(page)["run"]
    page.locator("#generate").click()
    settled(page, other_than=run)
    # what a press moves within half a second is not counted by the browser, so the places are looked at too
    assert page.evaluate(PLACES, held) == before
    page.evaluate("() => window.chisel.select(100)")
    page.locator(".cz-candidates .cz-tile").first.wait_for()
    assert page.evaluate(PLACES, held) == before
    scrub(page, 2)
    page.evaluate("() => window.chisel.select(-1)")
    for k in (3, 4, 5):
        scrub(page, k)
        page.wait_for_timeout(150)
    for view in ("changes", "mask", "confidence", "entropy", "age", "edits", "picture"):
        page.locator(f".cz-view[data-view={view}]").click()
    assert page.evaluate(PLACES, held) == before
    # a sentence of the page: an empty prompt is refused
    page.locator("#prompt textarea").fill("")
    page.locator("#generate").click()
    page.locator(".cz-notice").filter(has_text=".").wait_for()
    assert page.evaluate(PLACES, held) == before
    # a second picture brings the shelf
    make(page, steps=3, seed=5)
    assert page.evaluate(PLACES, held) == before
    assert not page.evaluate("() => window.shifts"), page.evaluate("() => window.shifts")


def test_class_mode_is_picture_first(visit):
    plain = visit(viewport={"width": 1280, "height": 720})
    make(plain)
    usual = plain.locator(".cz-canvas").bounding_box()
    page = visit("/?class=1", viewport={"width": 1280, "height": 720})
    page.locator("#generate").click()
    settled(page)
    large = page.locator(".cz-canvas").bounding_box()
    assert large["height"] > usual["height"]
    assert not hidden(page, *TIME)


def test_heal_and_locks_do_not_move_what_is_pressed(visit):
    page = visit(viewport={"width": 1280, "height": 720})
    make(page)
    edit(page)
    before = page.evaluate(PLACES, TIME)
    page.locator("[data-press=break-some]").click()
    until(page, drafted="26")
    press(page, "heal")
    assert page.evaluate(PLACES, TIME) == before
    page.evaluate("() => window.chisel.lock([1, 2, 3])")
    until(page, locked="3")
    assert page.evaluate(PLACES, TIME) == before
    assert dataset(page)["kind"] == "heal" and settled(page)["step"]
