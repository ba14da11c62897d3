"""A browser that denies storage, as people set it ("Block all cookies"): nothing but remembering is lost."""

import json

import pytest
from hands import make
from playwright.sync_api import Error

from ui.record.browser import FLAGS, arrived, dataset, find_browser

BLOCKED = {"profile": {"default_content_setting_values": {"cookies": 2}}}
DARK = "() => document.body.classList.contains('dark')"


@pytest.fixture
def denied(chrome, address, tmp_path):
    """The page in a browser whose own preferences block all site data; its complaints fail the test."""
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(BLOCKED))
    context = chrome.browser_type.launch_persistent_context(
        str(tmp_path),
        executable_path=find_browser(),
        args=list(FLAGS),
        viewport={"width": 1320, "height": 900},
    )
    complaints = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(address)
    arrived(page)
    yield page
    context.close()
    assert not [text for text in complaints if "SecurityError" in text or "torage" in text], complaints


def test_without_storage_everything_else_works(denied):
    for name in ("localStorage", "sessionStorage"):
        with pytest.raises(Error, match="SecurityError"):
            denied.evaluate(f"window.{name}.length")
    make(denied, steps=2)
    for _ in range(2):
        before = denied.evaluate(DARK)
        denied.locator(".cz-theme").click()
        assert denied.evaluate(DARK) != before


def test_without_storage_no_press_is_lost(denied):
    """Generate is pressed the moment it comes free, four times over."""
    make(denied, steps=2)
    denied.evaluate(
        """() => {
            window.begun = window.pressed = 0;
            document.addEventListener("chisel:ask", () => { window.begun += 1; });
            const button = document.querySelector("#generate");
            let was = true;
            new MutationObserver(() => {
                const free = !button.disabled && !was;
                was = !button.disabled;
                if (free && window.pressed < 4) { window.pressed += 1; button.click(); }
            }).observe(button, { attributes: true, attributeFilter: ["disabled"] });
        }"""
    )
    denied.locator("#generate").click()
    denied.wait_for_function("() => window.begun === 5 && window.pressed === 4")
    denied.wait_for_function("() => window.chisel.runs().length === 6")


def test_without_storage_a_lost_connection_ends_in_a_page_that_works(denied):
    make(denied, steps=2)
    denied.route("**/queue/join*", lambda route: route.abort())
    with denied.expect_navigation():
        denied.locator("#generate:enabled").click()
    denied.unroute("**/queue/join*")
    arrived(denied)
    denied.locator("#generate:enabled").wait_for()
    assert dataset(denied)["state"] == "idle"
    make(denied, steps=2)
