"""The real app in a process of its own, and the system's Chromium in front of it.

Without a browser these tests fail with one sentence rather than skip: a page that nobody opened is not a
tested page. CHISEL_TEST_MODEL names a folder of weights to use instead of the shipped ones.
"""

import os

import pytest

from ui.record.browser import NoBrowser, arrived, chromium, serving


@pytest.fixture(scope="session")
def address():
    """Where the app serves its page."""
    model = os.environ.get("CHISEL_TEST_MODEL")
    with serving(*(["--model", model] if model else [])) as app:
        yield app.address


@pytest.fixture(scope="session")
def chrome():
    """One browser for all tests; each test gets a context, hence a visitor, of its own."""
    try:
        with chromium() as started:
            yield started
    except NoBrowser as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def visit(chrome, address):
    """visit(at="/#hash", **context options) opens the page for a new visitor.

    Any script error, and any request that leaves the app's own address, fails the test at its end.
    """
    contexts, wrong = [], []

    def guard(route):
        url = route.request.url
        if url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            wrong.append(f"a request left the origin: {url}")
            route.abort()

    def open_page(at="", **options):
        context = chrome.new_context(**{"viewport": {"width": 1320, "height": 900}, **options})
        context.set_default_timeout(30_000)
        context.route("**/*", guard)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"a script failed: {error}"))
        page.goto(address + at)
        return arrived(page)

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong, wrong


@pytest.fixture
def studio(visit):
    """The page as a visitor at a desk sees it."""
    return visit()
