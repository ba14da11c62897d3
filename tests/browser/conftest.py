"""The real app in a process of its own, and the system's Chromium in front of it.

Without a browser these tests fail with one sentence rather than skip: a page that nobody opened is not a
tested page. The model is a tiny one made for tests (tests/helpers/studio_model.py), whose long runs take their time
(tests/helpers/studio_app.py); test_as_shipped.py looks at the shipped one.
"""

from pathlib import Path

import pytest
from studio_model import FOLDER
from visitors import Visitors

from ui.record.browser import NoBrowser, chromium, serving

PROGRAM = Path(__file__).parents[1] / "helpers" / "studio_app.py"


@pytest.fixture(scope="session")
def address():
    """Where the app serves its page."""
    with serving("--model", str(FOLDER), program=PROGRAM) as app:
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
