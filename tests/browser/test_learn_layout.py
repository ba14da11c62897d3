"""Learn in windows of all sizes: nothing is printed through anything else, and a prompt is as high as its words."""

import pytest
from learn_hands import chapter, window

from ui.record.browser import settled

CHAPTERS = ("token", "forward", "step", "sampler", "editing", "neighbours", "lessons")
VIEWS = ("picture", "changes", "mask", "confidence", "entropy", "age", "edits")
# pairs of what stands above the picture that share pixels
CROSSING = """() => {
    const all = [...document.querySelectorAll(".cz-view, .cz-key, .cz-sight button, .cz-zoom, .cz-frame")]
        .filter((node) => node.offsetParent && getComputedStyle(node).visibility !== "hidden")
        .map((node) => [node.textContent.trim() || node.className, node.getBoundingClientRect()]);
    const found = [];
    all.forEach(([a, x], i) => all.slice(i + 1).forEach(([b, y]) => {
        const wide = Math.min(x.right, y.right) - Math.max(x.left, y.left);
        const high = Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top);
        if (wide > 1 && high > 1) found.push(`${a} and ${b}`);
    }));
    return found;
}"""
# the words of the prompt, as high as they need, and the box
CUT = """() => {
    const box = document.querySelector("#prompt textarea");
    return box.scrollHeight - box.clientHeight;
}"""


def made(page, prompt="a castle on a beach"):
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#steps input[type=number]").fill("2")
    page.locator("#generate").click()
    settled(page)


@pytest.mark.parametrize("size", [(1024, 768), (1280, 720), (1440, 900), (1920, 1080), (2560, 1440)])
def test_legend_views_and_tools_share_no_pixel_in_any_chapter(visit, size):
    page = visit(viewport={"width": size[0], "height": size[1]})
    made(page)
    for name in CHAPTERS:
        chapter(page, name)
        page.evaluate("() => window.scrollTo(0, 0)")
        views = VIEWS if name == "neighbours" else ("picture",)
        for view in views:
            page.locator(f".cz-view[data-view={view}]").click()
            assert page.evaluate(CROSSING) == [], (name, view)
    keys = page.locator(".cz-key:visible")
    tops = {round(keys.nth(i).bounding_box()["y"]) for i in range(keys.count())}
    assert len(tops) == 1, "the legend is one line"


@pytest.mark.parametrize("size", ["phone", "tablet", "laptop", "desk"])
def test_the_prompt_of_learn_is_as_high_as_its_words(visit, size):
    page = visit(viewport={"width": 1024, "height": 768}) if size == "tablet" else visit(**window(size))
    made(page)
    chapter(page, "token")
    box = page.locator("#prompt textarea")
    one = box.bounding_box()["height"]
    assert page.evaluate(CUT) <= 1 and one < 60, "one line of words, one line of room"
    assert box.bounding_box()["width"] > 200
    for words in ("three strawberries on a teal background", "a castle " * 9):
        box.fill(words)
        assert page.evaluate(CUT) <= 1, words
    assert box.bounding_box()["height"] > one + 15
