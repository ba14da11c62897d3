"""The page on grids that are not ours of 16x16: carved, clicked, locked, repainted, scrubbed; by places and pixels.

Stripes is the fake family (2x8 cells of 4 pixels, 27 tokens); the other is a tiny model of ours on 32x32 cells of 8.
"""

import dataclasses
import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hands import TOKENS, apart, block, centres, drag, edit, inner, point, press, until
from tiny_model import build_tiny

from mdm_core.pipeline import Pipeline
from mdm_core.settings import SampleConfig
from ui.record.browser import dataset, scrub, serving, settled

FAKE_APP = Path(__file__).parents[1] / "helpers" / "fake_app.py"
CANVAS = "document.querySelector('.cz-canvas')"
CIVIDIS = np.array(
    [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]]
)


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """Where each of the two models is served."""
    stripes, large = (tmp_path_factory.mktemp(name) for name in ("stripes", "large"))
    (stripes / "config.json").write_text(json.dumps({"family": "stripes", "seed": 0}))
    config, codec, model, text = build_tiny(grid=32)
    card = {"name": "Random", "examples": ["a cat"]}
    config = dataclasses.replace(config, sample=SampleConfig(steps=3, polish=0), card=card)
    Pipeline.save(large, codec, model, text, config)
    with ExitStack() as open_:
        yield {
            name: open_.enter_context(serving("--model", str(folder), program=FAKE_APP, seconds=180)).address
            for name, folder in (("stripes", stripes), ("large", large))
        }


@pytest.fixture
def address(request, addresses):
    """In place of the shipped model's: `visit` goes there."""
    return addresses[request.param]


def carved(page, steps=3):
    """A finished run; its id."""
    before = dataset(page)["run"]
    page.locator("#steps input[type=number]").fill(str(steps))
    page.locator("#generate:enabled").click()
    return settled(page, other_than=before)["run"]


def shape(page):
    return page.evaluate("() => [window.chisel.run().rows, window.chisel.run().columns]")


def tokens(page):
    return np.array(page.evaluate(TOKENS))


@pytest.mark.parametrize("address", ["stripes", "large"], indirect=True)
def test_a_grid_of_any_shape_is_carved_clicked_locked_repainted_and_scrubbed(visit):
    page = visit()
    carved(page)
    rows, columns = shape(page)
    cells = rows * columns
    assert (rows, columns) in ((2, 8), (32, 32))
    # whole pixels a cell, in the shape of the grid
    width, height = (page.evaluate(f"() => {CANVAS}.{side}") for side in ("width", "height"))
    assert width % columns == 0 and width * rows == height * columns
    box = page.locator(".cz-canvas").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(columns / rows, rel=0.01)

    # every cell can be meant: the corners, and one within
    for cell in (0, columns - 1, cells - columns, cells - 1, cells // 2 + columns // 3):
        page.mouse.click(*point(page, cell))
        until(page, cell=str(cell))
        inspector = page.locator(".cz-inspector")
        assert inspector.get_attribute("data-cell") == str(cell)
        where = f"Row {cell // columns + 1}, column {cell % columns + 1}"
        assert inspector.locator(".cz-where").inner_text() == where
    found = page.locator(f".cz-lookup[data-cell='{cells // 2 + columns // 3}'] .cz-candidates li")
    found.first.wait_for()
    assert found.count() == 8 and found.locator(".is-here").count() <= 1

    # the map of confidence has the colour of every figure
    page.locator("[data-view=confidence]").click()
    p = np.array(page.evaluate("() => Array.from(window.chisel.run().frames.at(-1).p)")) / 65535
    wanted = np.stack([np.interp(p * 5, range(6), CIVIDIS[:, i]) for i in range(3)], 1)
    page.locator(".cz-close").click()
    assert np.abs(np.array(centres(page)) - wanted).max() <= 0.06 * 255 + 4
    page.locator("[data-view=picture]").click()

    # lock, remask, repaint: the locked and the unmarked stay
    whole, plain = tokens(page), centres(page)
    edit(page, "lock", "rectangle")
    drag(page, 0, (rows // 2 - 1) * columns + 1)
    locks = block(0, (rows // 2 - 1) * columns + 1, columns)
    until(page, locked=str(len(locks)))
    edit(page, "mask", "rectangle")
    end = (rows - 1) * columns + columns // 2
    drag(page, 0, end)
    hole = block(0, end, columns) - locks
    until(page, drafted=str(len(hole)), masked=str(len(hole)))
    assert set(np.flatnonzero(tokens(page) != whole)) == hole
    marked = apart(plain, centres(page))
    assert marked <= hole and len(marked) > 0.9 * len(hole)  # stone; a cell of its colour may have been there
    press(page, "repaint")
    again = tokens(page)
    outside = np.ones(cells, bool)
    outside[list(hole)] = False
    vocab = page.evaluate("() => window.chisel.run().maskId")
    assert (again < vocab).all() and np.array_equal(again[outside], whole[outside])
    assert not np.array_equal(again, whole)
    # the pixels too; a decoder that looks at neighbours smooths the seams
    kept = set(np.flatnonzero(outside))
    assert not apart(plain, centres(page)) & (kept if rows == 2 else inner(kept, columns))

    # the timeline: the first step has the hole, the last one has none
    scrub(page, 0)
    assert dataset(page)["masked"] == str(len(hole))
    stone = apart(plain, centres(page))
    assert len(stone & hole) > 0.9 * len(hole)
    scrub(page, int(dataset(page)["last"]))
    assert dataset(page)["masked"] == "0"


@pytest.mark.parametrize("address", ["stripes"], indirect=True)
def test_a_model_that_cannot_doubt_has_its_unsure_tokens_made_anew(visit):
    page = visit()
    assert page.locator(".cz-model").inner_text() == "Stripes · CC0-1.0"
    assert page.locator(".cz-model").get_attribute("title") == "32 × 8 pixels, 8 × 2 cells of 27 tokens"
    assert page.locator(".chip").all_inner_texts() == ["a tree", "oo"]
    switch = page.locator("#editing")
    assert "never trained to doubt" in switch.inner_text() and switch.locator("input").is_disabled()
    assert not switch.locator("input").is_checked()
    # before there is a picture the block already has the grid of the model
    assert page.evaluate(f"() => {CANVAS}.width / {CANVAS}.height") == 4
    first = carved(page)
    assert page.locator("[data-again][value=editing]").is_disabled()
    edit(page)
    heal, remask = (page.locator(f"[data-press={name}]") for name in ("heal", "remask-unsure"))
    assert heal.is_hidden() and remask.is_visible()
    place = remask.bounding_box()
    beside = page.locator("[data-press=repaint]").bounding_box()
    assert place["y"] == beside["y"] and place["x"] > beside["x"]  # in the place of Heal
    before = tokens(page)
    assert press(page, "remask-unsure") != first
    frames = np.array(
        page.evaluate("() => window.chisel.run().frames.map((frame) => Array.from(frame.tokens))")
    )
    unsure = frames[0] == 27
    assert 0 < unsure.sum() <= 4  # a quarter of 16
    assert np.array_equal(frames[0][~unsure], before[~unsure]) and np.array_equal(
        frames[-1][~unsure], before[~unsure]
    )
    assert (frames[-1] < 27).all()
    page.locator("#tasks [data-task=learn]").click()
    for gone in (".cz-lab", ".cz-palette", "#lessons", "#hint", ".cz-explorer"):
        assert page.locator(gone).count() == 0 or page.locator(gone).is_hidden(), gone
    page.locator("[data-tour=start]").click()
    assert "Step 1 of 5" in page.locator(".cz-tour").inner_text()


@pytest.mark.parametrize("address", ["large"], indirect=True)
def test_a_step_that_came_without_its_picture_gets_it_when_it_is_chosen(visit):
    page = visit()
    carved(page, 4)
    plain = {}
    for k in (2, 3):
        scrub(page, k)
        plain[k] = centres(page)
    # the same run once more, as a slow codec would have sent it
    page.evaluate("""() => {
        const run = window.chisel.run();
        for (const k of [2, 3]) {
            const frame = run.frames[k], image = frame.image;
            Object.assign(frame, { image: null, settled: false });
            frame.ready = new Promise((done) => {
                frame.late = (uri) => {
                    frame.late = null;
                    const fresh = new Image();
                    fresh.src = uri;
                    fresh.decode().then(() => { Object.assign(frame, { image: fresh, settled: true }); done(); });
                };
            });
        }
    }""")
    scrub(page, 4)
    for k in (3, 2):
        scrub(page, k)
        assert not apart(plain[k], centres(page))
        assert page.evaluate(f"() => window.chisel.run().frames[{k}].late") is None
