"""What stands behind a chapter is one click away; in formulas as they are drawn nothing touches what is not its own."""

import pytest
from hands import make
from learn_hands import chapter, lies_on_top
from studio_model import CONFIG

# Boxes of what is drawn of a node: its leaves, and where a formula holds more than fits it is scrolled.
LEAVES = """(panel) => {
    const leaves = (node) => [...node.querySelectorAll("mi, mo, mn, mtext")].filter((n) => n.textContent.trim());
    const ink = (node) => {
        const all = (node.matches("mi, mo, mn, mtext") ? [node] : leaves(node)).map((n) => {
            const { top, bottom } = n.getBoundingClientRect(), { paddingTop, paddingBottom } = getComputedStyle(n);
            return { top: top + parseFloat(paddingTop), bottom: bottom - parseFloat(paddingBottom) };
        });
        return { top: Math.min(...all.map((b) => b.top)), bottom: Math.max(...all.map((b) => b.bottom)) };
    };
    const shown = (node) => node.checkVisibility();
    const lines = [...panel.querySelectorAll("math[display=block]")].filter(shown);
    const between = lines.slice(1).flatMap((line, i) => {
        const before = lines[i];
        return before.nextElementSibling === line ? [ink(line).top - ink(before).bottom] : [];
    });
    const fractions = [...panel.querySelectorAll("mfrac")].filter(shown).map((one) => {
        const [top, under] = [...one.children].map(ink);
        return under.top - top.bottom;
    });
    const under = [...panel.querySelectorAll("munder")].filter(shown).map((one) => {
        const [base, below] = [...one.children].map(ink);
        return below.top - base.bottom;
    });
    // words and signs side by side: two letters of different names have air between them
    const NAMES = ["log", "max", "cos", "softmax", "arg max"];
    const touching = [...panel.querySelectorAll("math")].filter(shown).flatMap((one) => {
        const all = leaves(one).map((n) => [n, n.getBoundingClientRect()]);
        return all.slice(1).flatMap(([n, box], i) => {
            const [before, last] = all[i];
            const text = (m) => m.localName === "mtext" && /\\p{L}/u.test(m.textContent);
            const word = (m) => text(m) || NAMES.includes(m.textContent);
            const name = (m) => ["mi", "mn"].includes(m.localName) || word(m);
            const level = Math.abs(box.bottom - last.bottom) < 6 && n.closest("mtd") === before.closest("mtd");
            const air = (m, side) => m.localName === "mtext" && (side ? /\\u00a0$/ : /^\\u00a0/).test(m.textContent);
            const wanted = level && name(n) && name(before) && (word(n) || word(before));
            const gap = box.left - last.right + 4 * (air(before, true) || air(n, false));
            return wanted && gap < 1.5 ? [before.textContent + "|" + n.textContent] : [];
        });
    });
    return { between, fractions, under, touching };
}"""


@pytest.mark.parametrize("size", [(390, 844), (1280, 720), (1920, 1080)], ids=str)
def test_no_part_of_a_formula_touches_another(visit, size):
    page = visit(viewport=dict(zip(("width", "height"), size, strict=True)))
    make(page, steps=2)
    page.locator("button[data-task=learn]").click()
    page.locator(".cz-chapters button").first.wait_for()
    seen = {"between": 0, "fractions": 0, "under": 0}
    for name in page.evaluate(
        "() => [...document.querySelectorAll('[data-open]')].map((n) => n.dataset.open)"
    ):
        page.locator(f"[data-open={name}]").click()
        formula = page.locator("[data-behind=formula]")
        if formula.is_visible():
            formula.click()
            page.locator(".cz-behind-panel math").first.wait_for()
        told = page.locator("#learn").evaluate(LEAVES)
        assert all(gap >= 4 for gap in told["between"]), (name, told["between"])
        assert all(gap >= 2.5 for gap in told["fractions"]), (name, told["fractions"])
        assert all(gap >= 0.5 for gap in told["under"]), (name, told["under"])
        assert not told["touching"], (name, told["touching"])
        for kind in seen:
            seen[kind] += len(told[kind])
        # what is wider than its panel is scrolled there, and does not push the page
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), name
        if formula.is_visible():
            formula.click()
    assert all(seen.values()), seen


def test_formula_code_model_card_and_paper_are_one_click_away(studio):
    panel = studio.locator(".cz-behind-panel")
    for name in ("token", "forward", "step", "editing", "neighbours"):
        chapter(studio, name)
        studio.locator("[data-behind=formula]").click()
        assert panel.locator("math[display=block]").first.bounding_box()["width"] > 20, name
        studio.locator("[data-behind=code]").click()
        panel.locator("code", has_text="def ").first.wait_for()
    studio.locator("[data-behind=card]").click()
    panel.locator("dd", has_text=CONFIG.card["name"]).first.wait_for()
    assert lies_on_top(panel.locator("dt").first)
    studio.locator("[data-behind=card]").press("Enter")
    assert panel.is_hidden()
    paper = studio.get_by_role("link", name="Paper")
    assert paper.get_attribute("href") == "https://arxiv.org/abs/2606.29814"
    assert "noopener" in paper.get_attribute("rel")
