"""The studio in a real browser, driven by Playwright: shared by the browser tests and by `ui.record.screenshots`."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# A browser on its own calls home for updates and lists; none of that belongs into a run of ours.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
CANVAS = "document.querySelector('.cz-canvas').dataset"
# The form comes a moment after the stage, and Gradio's veil over all of it goes a moment after that.
ARRIVED = f"""() => window.chisel && document.querySelector('.cz-canvas') && {CANVAS}.state
    && document.querySelector('#generate') && !document.querySelector('.wrap.translucent')"""


@dataclass(frozen=True)
class Served:
    """A running app: its address, its process id, and the time from process start to its first answer."""

    address: str
    pid: int
    seconds: float


class NoBrowser(RuntimeError):
    """No Playwright or no browser on this machine. Its text is one sentence that says what to install."""


def find_browser() -> str:
    """Path of the system's Chromium (or the one named by CHISEL_BROWSER); NoBrowser when there is none."""
    named = os.environ.get("CHISEL_BROWSER")
    found = named if named and Path(named).is_file() else next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        raise NoBrowser(
            "No Chromium was found: install it (Debian: apt install chromium) or set CHISEL_BROWSER."
        )
    return found


@contextmanager
def chromium() -> Iterator[Any]:
    """A Playwright browser, closed at the end; NoBrowser when Playwright or the browser is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NoBrowser(
            "Playwright is missing: install the test requirements (pip install playwright)."
        ) from None
    path = find_browser()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def serving(
    *arguments: str,
    seconds: float = 90,
    environment: dict[str, str] | None = None,
    port_by: str = "",
    program: Path = ROOT / "app.py",
) -> Iterator[Served]:
    """The real app in a process of its own on a free port, ended afterwards.

    `environment` replaces this process's own; the port is then told by its variable `port_by`, if one is named.
    RuntimeError with the app's own words when it ends early or is not there after `seconds`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = [] if port_by else ["--port", str(port)]
    if port_by:
        environment = {**(environment or os.environ), port_by: str(port)}
    command = [sys.executable, str(program), *where, *arguments]
    began = time.monotonic()
    address = f"http://127.0.0.1:{port}"
    # a file: a pipe that nobody reads would stop the app once it is full, and a child of its own could hold it open
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while not _answers(address):
                if process.poll() is not None:
                    output.seek(0)
                    said = output.read().decode(errors="replace")
                    raise RuntimeError(f"The app ended before it served its page:\n{said}")
                if time.monotonic() - began > seconds:
                    raise RuntimeError(f"The app did not serve its page within {seconds:.0f} s.")
                time.sleep(0.05)
            yield Served(address, process.pid, time.monotonic() - began)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/gradio_api/info", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def arrived(page: Any) -> Any:
    """The page, once it is all there and a press on it reaches it."""
    page.wait_for_function(ARRIVED)
    return page


def settled(page: Any, state: str = "done", other_than: str = "", timeout: float = 60_000) -> dict[str, str]:
    """The dataset, once a run other than `other_than` has reached `state` with its last step on screen."""
    page.wait_for_function(
        f"""([state, before]) => {{
            const d = {CANVAS};
            return d.state === state && d.run !== before && d.step === d.last;
        }}""",
        arg=[state, other_than],
        timeout=timeout,
    )
    return dataset(page)


def dataset(page: Any) -> dict[str, str]:
    """What the canvas says it shows: step, last, state, run, masked, edits, cell, overlay."""
    return page.evaluate(f"({{...{CANVAS}}})")


def scrub(page: Any, step: int) -> None:
    """Moves the timeline to `step` and waits until that step is painted."""
    page.locator(".cz-range").fill(str(step))
    page.wait_for_function(f"k => {CANVAS}.step === k", arg=str(step))
