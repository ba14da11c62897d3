"""The one command of the README, with nothing set: the shipped model's own defaults on the page that opens."""

import io
import re
from itertools import pairwise

import pytest
from PIL import Image

from mdm_core.families.chisel.config import load_config
from ui.record.browser import ROOT, dataset, serving, settled


@pytest.fixture(scope="module")
def shipped():
    with serving() as app:
        yield app.address


@pytest.fixture
def address(shipped):
    """In place of the model of fewer passes: `visit` goes there."""
    return shipped


def test_generate_is_all_that_one_presses(studio):
    sample = load_config(ROOT / "assets" / "model" / "config.json").sample
    assert studio.locator("#steps input[type=number]").input_value() == str(sample.steps)
    assert dataset(studio)["state"] == "idle"
    studio.locator("#generate").click()
    told = settled(studio)
    # a pass of polish that changes nothing is the last one
    assert sample.steps <= int(told["last"]) <= sample.steps + sample.polish and told["masked"] == "0"
    assert studio.evaluate("() => window.chisel.run().planned") == sample.steps
    frames = studio.evaluate("() => window.chisel.run().frames.map((f) => [f.masked, f.edited.length])")
    assert frames[0] == [256, 0] and all(a >= b for (a, _), (b, _) in pairwise(frames))
    # a picture, not noise and not one colour
    deviation = studio.evaluate(
        """() => {
            const c = document.querySelector(".cz-canvas");
            const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            let n = 0, sum = 0, squares = 0;
            for (let i = 0; i < d.length; i += 4) { n += 1; sum += d[i]; squares += d[i] * d[i]; }
            return Math.sqrt(squares / n - (sum / n) ** 2);
        }"""
    )
    assert 10 < deviation < 110


def test_the_palette_shows_what_the_weights_draw(studio):
    studio.locator(".cz-palette summary").press("Enter")
    panda = studio.locator(".cz-word", has_text=re.compile("^panda$"))
    shown = Image.open(io.BytesIO(panda.locator(".cz-word-picture").screenshot())).convert("L")
    assert shown.getextrema()[0] < 90  # a panda's black, out of the sheet, not an empty disc
