"""axe-core finds nothing to mend: in every task, light and dark, before and after a picture, with the tools out."""

import pytest
from hands import drag, edit, make, until

Axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install -e .[test]").Axe


def look(page, where):
    """Fails with each rule that is broken, and the elements that break it."""
    found = Axe().run(page).response["violations"]
    told = [(one["id"], [node["target"][0] for node in one["nodes"]][:5]) for one in found]
    assert not told, (where, told)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_found_in_any_task(visit, scheme):
    page = visit(color_scheme=scheme, viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
    look(page, "create, before a picture")
    make(page, steps=1, prompt="blorp")
    page.locator(".cz-offer").first.wait_for()
    page.locator(".cz-prompt-hint").wait_for()
    look(page, "create, nothing known")
    edit(page, "move")
    drag(page, 51, 68)
    drag(page, 51, 55)
    until(page, pending="0")
    look(page, "edit, cells moved")
    page.locator(".cz-help").click()
    look(page, "the sheet of keys")
    page.keyboard.press("Escape")
    page.evaluate("() => window.chisel.select(20)")
    page.locator("#tasks [data-task=learn]").click()
    look(page, "learn")


def test_nothing_is_found_on_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    make(page, steps=1)
    for task in ("create", "edit", "learn"):
        page.locator(f"#tasks [data-task={task}]").tap()
        look(page, task)
