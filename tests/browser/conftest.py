"""The real app in a process of its own, and the system's Chromium in front of it.

Without a browser these tests fail with one sentence rather than skip: a page that nobody opened is not a
tested page. CHISEL_TEST_MODEL names a folder of weights to use instead of the shipped ones, which run here
with fewer steps unless a test sets them.
"""

import os

import pytest
from quick_model import quick_model
from visitors import Visitors

from ui.record.browser import NoBrowser, chromium, serving


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    """Where the app serves its page."""
    model = os.environ.get("CHISEL_TEST_MODEL") or quick_model(tmp_path_factory.mktemp("studio") / "model")
    with serving("--model", str(model)) as app:
        yield app.address


@pytest.fixture(scope="session")
def chrome():
    """One browser for all tests."""
    try:
        with chromium() as started:
            yield started
    except NoBrowser as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def visitors(chrome):
    return Visitors(chrome)


@pytest.fixture
def visit(visitors, address):
    """visit(at="/#hash", **context options) opens the page for a new visitor.

    Any script error, and any request that leaves the app's own address, fails the test at its end.
    """
    with visitors.welcome(address) as open_page:
        yield open_page


@pytest.fixture
def studio(visit):
    """The page as a visitor at a desk sees it."""
    return visit()
