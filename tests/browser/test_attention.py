"""Where a cell looks, in the chapter on one step: shares that add up, a heat map that has its weight where they say."""

import re

from ui.record.browser import settled

HEAT = """(cell) => {
    const canvas = document.querySelector(".cz-attention-grid");
    const side = canvas.width / 16;
    const at = [(cell % 16 + 0.5) * side, (Math.floor(cell / 16) + 0.2) * side];
    const [red, , blue] = canvas.getContext("2d").getImageData(...at, 1, 1).data;
    return red - blue;
}"""


def opened(page, cell=100, k=3):
    page.locator("#prompt textarea").fill("a panda on a teal background")
    page.locator("#steps input[type=number]").fill("4")
    page.locator("#generate").click()
    settled(page)
    page.locator("[data-task=learn]").click()
    page.locator("[data-open=step]").click()
    page.locator("[data-part=transformer]").first.click()
    page.evaluate("([k, cell]) => { window.chisel.go(k); window.chisel.select(cell); }", [k, cell])
    shown(page, cell, k)


def shown(page, cell, k):
    page.wait_for_function(
        """([cell, k]) => {
            const { dataset } = document.querySelector(".cz-attention");
            return dataset.cell === cell && dataset.step === k;
        }""",
        arg=[str(cell), str(k)],
    )


def test_words_and_cells_are_told_by_their_shares_and_the_map_agrees(studio):
    opened(studio)
    words = studio.locator(".cz-attention-words b")
    assert words.all_inner_texts() == ["a", "panda", "on", "a", "teal", "background"]
    widths = studio.evaluate(
        "() => Array.from(document.querySelectorAll('.cz-attention-bar i'), (node) => parseFloat(node.style.width))"
    )
    assert abs(sum(widths) - 100) < 1
    told = studio.locator(".cz-attention-grid").get_attribute("aria-label")
    row, column = map(int, re.search(r"most at row (\d+), column (\d+)", told).groups())
    best = (row - 1) * 16 + column - 1
    heat = [studio.evaluate(HEAT, cell) for cell in range(0, 256, 5)]
    assert studio.evaluate(HEAT, best) > sorted(heat)[len(heat) // 2] + 20


def test_a_layer_by_itself_another_cell_and_another_step(studio):
    opened(studio)
    split = studio.locator(".cz-attention-split")
    mean = split.inner_text()
    slider = studio.locator(".cz-attention input")
    last = slider.get_attribute("max")
    slider.fill(last)
    assert split.inner_text() == "All of it to cells: this layer does not see the prompt."
    slider.fill("1")
    assert "to words" in split.inner_text() and split.inner_text() != mean
    slider.fill("0")
    assert split.inner_text() == mean
    studio.evaluate("window.chisel.select(20)")
    shown(studio, 20, 3)
    studio.evaluate("window.chisel.go(1)")
    shown(studio, 20, 1)
    assert "row 2, column 5" in studio.locator(".cz-attention-say").inner_text()


def test_it_stands_with_its_part_alone_and_fits_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark")
    opened(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    grid = page.locator(".cz-attention-grid").bounding_box()
    assert 300 <= grid["width"] <= 390 and abs(grid["width"] - grid["height"]) < 2
    page.locator("[data-part=decide]").click()
    assert not page.locator(".cz-attention").is_visible()
