"""A phone's window: the picture between what works on it, a chapter's text below it, every tab in sight and under a
finger."""

import pytest
from hands import edit, make

from ui.record.browser import settled

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
BOX = "node => { const b = node.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; }"
# what of the picture is seen, of nine places in it: each must be the canvas, not a bar or the window's edge
SEEN = """() => {
    const box = document.querySelector(".cz-canvas").getBoundingClientRect();
    const places = [0.02, 0.5, 0.98].flatMap((x) => [0.02, 0.5, 0.98].map((y) => [x, y]));
    return places.filter(([x, y]) => {
        const top = document.elementFromPoint(box.x + box.width * x, box.y + box.height * y);
        return top?.closest(".cz-frame");
    }).length;
}"""


def box(page, name):
    return page.locator(name).first.evaluate(BOX)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_whole_picture_lies_between_tools_and_bar(visit, scheme):
    page = visit(**PHONE, color_scheme=scheme)
    make(page, steps=2)
    page.evaluate("() => scrollTo(0, 0)")
    assert page.evaluate(SEEN) == 9  # Create: without scrolling
    for tool in ("inspect", "mask", "break"):
        edit(page, tool)
        page.evaluate("() => scrollTo(0, 0)")
        page.wait_for_timeout(100)
        assert page.evaluate(SEEN) == 9, tool
        assert box(page, ".cz-canvas")[3] <= box(page, "#edit-actions")[1], tool
        for one in page.locator("button[data-tool]").all():
            left, top, right, bottom = one.evaluate(BOX)
            assert left >= 0 and right <= 390 and right - left >= 44 and bottom - top >= 44
            assert one.evaluate("n => n.scrollWidth <= n.clientWidth + 1")


def test_the_text_of_every_chapter_begins_in_the_first_window(visit):
    page = visit(**PHONE)
    make(page, steps=2)
    page.locator("button[data-task=learn]").tap()
    page.locator(".cz-chapters button").first.wait_for()
    names = page.evaluate("() => [...document.querySelectorAll('[data-open]')].map((n) => n.dataset.open)")
    assert len(names) == 7
    for name in names:
        page.locator(f"[data-open={name}]").tap()
        page.evaluate("() => scrollTo(0, 0)")
        page.wait_for_timeout(100)
        # the first line of what is read, and two more, at the place where they are said to be
        shown = page.evaluate("""() => {
            const all = [...document.querySelectorAll("#learn :is(.cz-chapter > p, .cz-prose, #lessons p)")];
            const first = all.find((n) => n.checkVisibility() && n.innerText.trim());
            const { x, y } = first.getBoundingClientRect();
            const seen = [8, 32, 56].every((down) => first.contains(document.elementFromPoint(x + 8, y + down)));
            return [y, seen, first.innerText.slice(0, 40)];
        }""")
        assert shown[0] <= 844 - 80 and shown[1], (name, shown)
    # the stage stays above what is read, and leaves it half of the window
    page.evaluate("() => scrollTo(0, 500)")
    page.wait_for_timeout(100)
    assert 0 <= box(page, ".cz-canvas")[1] <= 20 and box(page, "#stage")[3] <= 844 / 2
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [360, 390, 430, 768])
def test_every_view_is_in_sight_and_under_a_finger(visit, width):
    page = visit(viewport={"width": width, "height": 844}, has_touch=True, is_mobile=True)
    page.locator("#generate").tap()
    settled(page)
    for task in ("create", "edit", "learn"):
        page.evaluate("name => window.chisel.task(name)", task)
        for view in page.locator(".cz-view").all():
            view.scroll_into_view_if_needed()
            left, top, right, bottom = view.evaluate(BOX)
            assert left >= 0 and right <= width and right - left >= 44 and bottom - top >= 44
            # the word has the room it needs
            assert view.evaluate("n => n.scrollWidth <= n.clientWidth"), view.inner_text()
            view.tap()
            assert view.get_attribute("aria-pressed") == "true"


def test_whose_weights_are_open_stands_at_the_foot_of_a_phone(visit):
    page = visit(**PHONE)
    line = page.locator(".cz-opened")
    line.scroll_into_view_if_needed()
    assert "Apache-2.0" in line.inner_text()
    assert line.evaluate("n => n.scrollWidth <= n.clientWidth && n.scrollHeight <= n.clientHeight")
    left, _, right, bottom = line.evaluate(BOX)
    assert left >= 0 and right <= 390 and bottom <= 845
    assert page.locator(".cz-header .cz-model").is_hidden()
