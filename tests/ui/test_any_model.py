"""The studio over a model that shares nothing with ours: all that its handlers do, without a browser.

The model of `fake_family` has a grid of 2x8 cells of 4 pixels, 27 codes without a lattice, a mask token with an id of
its own, and a card without words.
"""

import base64
import io
import json
import re
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from fake_family import GRID, OWN_MASK, PATCH, BookCodec, V, fake_pipeline
from PIL import Image
from studio_hands import Tab, form, unpack

from mdm_core.explain.doubt import unsure
from ui import launch
from ui.bring.opening import Opening
from ui.export import draw, export
from ui.inspector import lookups as inspect
from ui.learn import explorer, lab
from ui.prompt import words
from ui.server.frames import pack
from ui.server.runs import Run
from ui.server.studio import Studio

CELLS = GRID[0] * GRID[1]
HEIGHT, WIDTH = GRID[0] * PATCH, GRID[1] * PATCH


@pytest.fixture
def studio():
    pipe = fake_pipeline()
    return Studio(lambda: pipe)


@pytest.fixture
def run(studio):
    return asked(studio)


def asked(studio, ask=None, **changes):
    """The finished run of one ask, as the page's event carves it; its messages are checked on the way."""
    out = list(studio.generate(form(**{"text": "a tree", "steps": 5, **changes}), ask, Tab()))
    said = [o[0] for o in out if isinstance(o[0], dict) and "frames" in o[0]]
    assert said, out[-1][1]
    last = said[-1]
    assert last["state"] == "done" and last["grid"] == list(GRID) and last["vocab"] == V
    for frame in last["frames"]:
        tokens = unpack(frame["tokens"], "<i4")
        # on the page a masked cell is V, whatever the model calls it
        assert len(tokens) == CELLS and tokens.max() <= V < OWN_MASK
        if frame["image"]:
            assert picture(frame["image"]).size == (WIDTH, HEIGHT)
    return studio.store.get(last["run"])


def picture(coded):
    """A picture of the wire."""
    return Image.open(io.BytesIO(base64.b64decode(coded.split(",")[-1])))


def final(run):
    return np.array(run.records[-1].tokens, np.int32)


def grown(run, kind, tokens, **more):
    """An ask about the last step of `run`."""
    return {"kind": kind, "run": run.id, "step": len(run.records) - 1, "tokens": pack(tokens, "<i4"), **more}


def test_generate_carves_every_cell(studio, run):
    assert (final(run) < V).all() and (run.records[0].tokens == V).all()
    assert np.array_equal(final(asked(studio)), final(run))
    assert not np.array_equal(final(asked(studio, seed=8)), final(run))


def test_repaint_changes_the_marked_cells_alone(studio, run):
    hole = np.isin(np.arange(CELLS), [3, 7, 8, 15])
    again = asked(studio, grown(run, "repaint", np.where(hole, V, final(run))), seed=9)
    assert (final(again) < V).all() and np.array_equal(final(again)[~hole], final(run)[~hole])
    assert not np.array_equal(final(again)[hole], final(run)[hole])


def test_heal_looks_again_and_leaves_what_is_locked(studio, run):
    broken, locked = final(run), np.zeros(CELLS, np.uint8)
    broken[[0, 9]] = (broken[[0, 9]] + 1) % V
    locked[[0, 15]] = 1
    healed = asked(studio, grown(run, "heal", broken, locked=pack(locked, "<u1")))
    assert np.array_equal(final(healed)[[0, 15]], broken[[0, 15]]) and (final(healed) < V).all()
    assert {r.phase for r in healed.records[1:]} == {"polish"}


def test_the_unsure_are_made_anew_and_a_link_rebuilds_that(studio, run):
    broken, locked = final(run), np.zeros(CELLS, np.uint8)
    broken[[2, 9, 13]] = (broken[[2, 9, 13]] + 5) % V
    locked[[0, 13]] = 1
    where = unsure(studio.pipe, "a tree", broken, 3.0, locked=locked.astype(bool).reshape(GRID)).reshape(-1)
    assert 0 < where.sum() <= CELLS // 4 and not where[[0, 13]].any()
    ask = grown(run, "remask", broken, locked=pack(locked, "<u1"))
    again = asked(studio, ask, guidance=3.0, editing=False)
    start = again.records[0].tokens
    assert np.array_equal(start == V, where) and np.array_equal(start[~where], broken[~where])
    assert np.array_equal(final(again)[~where], broken[~where]) and (final(again) < V).all()
    link = export.functions(studio)[1]({"run": again.id})["hash"]
    said = [o[0] for o in Opening(Studio(lambda: studio.pipe)).link(link, Tab()) if "frames" in o[0]]
    assert np.array_equal(unpack(said[-1]["frames"][-1]["tokens"], "<i4"), final(again))


def test_a_refused_remask_leaves_the_picture_and_the_line_free(studio, run):
    masked = final(run)
    masked[3] = V
    for ask, sentence in (
        (grown(run, "remask", masked), "press Repaint"),
        (grown(run, "remask", final(run), role="variation"), "reload the page"),
        ({"kind": "remask"}, "Make a picture first"),
    ):
        out = list(studio.generate(form(text="a tree", steps=5), ask, Tab()))
        assert len(out) == 1 and sentence in out[0][1]
    out = list(studio.generate(form(text="a # tree", steps=5), grown(run, "remask", final(run)), Tab()))
    assert "holds a #" in out[-1][1]
    assert studio.line.busy == 0 and asked(studio)


def test_a_branch_keeps_the_steps_before_it(studio, run):
    tokens = np.array(run.records[2].tokens, np.int32)
    ask = {"kind": "branch", "run": run.id, "step": 2, "tokens": pack(tokens, "<i4")}
    branch = asked(studio, ask, seed=9)
    assert branch.prefix == 2 and (final(branch) < V).all()


@pytest.mark.parametrize("cell", [0, 7, 8, 15])
def test_the_inspector_tells_what_the_record_tells(studio, run, cell):
    look_up = inspect.functions(studio)[0]
    for step, record in enumerate(run.records[1:], start=1):
        told = look_up({"run": run.id, "step": step, "cell": cell})
        assert told["p"] == pytest.approx(float(record.confidence[cell]), abs=2e-5)
        assert told["token"] == record.tokens[cell] and len(told["top"]) == 8
        assert told["group"] == [] and told["mass"] == 0  # without a codebook nothing is near
        assert {len(base64.b64decode(p)) for p in told["patches"].values()} == {PATCH * PATCH * 3}
    assert "0 to 15" in look_up({"run": run.id, "step": 1, "cell": CELLS})["error"]


def test_the_explorer_says_that_there_are_no_neighbours_or_shows_those_of_a_codebook(studio, run):
    handful, explore, _ = explorer.functions(inspect.of(studio))
    assert explore({"run": run.id, "step": 1, "cell": 3}) == {"error": explorer.NO_LATTICE}
    for data in ({}, {"run": run.id, "step": 5}):
        assert all(0 <= token < V for token in handful(data)["tokens"])
    pipe = fake_pipeline(codec=BookCodec())
    handful, explore, _ = explorer.functions(inspect.of(Studio(lambda: pipe)))
    told = explore({"size": 4})
    assert told["columns"] == GRID[1] and 0 <= told["cell"] < CELLS and told["sizes"] == [2, 4, 8]
    assert handful({})["tokens"]


def test_the_lab_breaks_and_counts(studio, run):
    caller = SimpleNamespace(session_hash="tab")
    event = gr.EventData(None, {"run": run.id, "share": 20, "seed": 3})
    last = list(lab.Lab(studio).heal(event, caller))[-1]
    assert last["state"] == "done" and last["columns"] == GRID[1] and len(last["broken"]) == 3
    assert all(picture(p).size == (WIDTH, HEIGHT) for p in last["pictures"].values())


def test_a_card_without_words_has_no_palette_and_no_hint(studio):
    assert [names for _, names in words.palette(studio)({}).get("sections", []) if names] == []
    told = words.understand(studio)("a zebra on teal")
    assert not [part for part in told["parts"] if isinstance(part, dict)]


def test_a_link_rebuilds_the_run_in_another_program(studio, run):
    hole = np.isin(np.arange(CELLS), [3, 8])
    last = asked(studio, grown(run, "repaint", np.where(hole, V, final(run))), seed=9)
    for one in (run, last):
        link = export.functions(studio)[1]({"run": one.id})["hash"]
        again = fake_pipeline()
        other = Studio(lambda again=again: again)
        out = list(Opening(other).link(link, Tab()))
        said = [o[0] for o in out if isinstance(o[0], dict) and "frames" in o[0]]
        assert said[-1]["state"] == "done" and out[-1][1] == ""  # not a word of rounding
        assert np.array_equal(final(other.store.get(said[-1]["run"])), final(one))
    stranger = fake_pipeline(seed=1)
    out = list(Opening(Studio(lambda: stranger)).link(link, Tab()))
    assert len(out) == 1 and "model" in out[0][1]  # of the same shape, but other weights


def test_a_saved_run_opens_with_all_its_steps(studio, run):
    data = saved(studio, run, "json")
    message = Opening(studio).trajectory({"file": base64.b64encode(data).decode()})["message"]
    again = studio.store.get(message["run"])
    assert len(again.records) == len(run.records)
    for a, b in zip(run.records, again.records, strict=True):
        assert np.array_equal(a.tokens, b.tokens)
    stranger = fake_pipeline(seed=1)
    told = Opening(Studio(lambda: stranger)).functions()[1]({"file": base64.b64encode(data).decode()})
    assert set(told) == {"error"} and "model" in told["error"]


def test_an_upload_is_cut_to_the_models_own_shape_and_repainted(studio):
    buffer = io.BytesIO()
    Image.new("RGB", (90, 70), (250, 130, 10)).save(buffer, "PNG")
    file = base64.b64encode(buffer.getvalue()).decode()
    message = Opening(studio).functions()[0]({"file": file})["message"]
    ground = studio.store.get(message["run"])
    assert picture(message["frames"][0]["image"]).size == (WIDTH, HEIGHT)
    hole = np.isin(np.arange(CELLS), [0, 15])
    again = asked(studio, grown(ground, "repaint", np.where(hole, V, final(ground))))
    assert np.array_equal(final(again)[~hole], final(ground)[~hole])


# ---- files ------------------------------------------------------------------------------------------------------


def saved(studio, run, kind, **more):
    """The bytes of one export."""
    told = export.functions(studio)[0]({"run": run.id, "as": kind, **more})
    assert "error" not in told, told
    return base64.b64decode(told["data"])


@pytest.mark.parametrize("kind", ["png", "gif", "webp"])
def test_pictures_and_animations_have_the_models_shape_a_whole_number_of_times(studio, run, kind):
    image = Image.open(io.BytesIO(saved(studio, run, kind)))
    times = image.width // WIDTH
    assert times >= 1 and image.size == (WIDTH * times, HEIGHT * times)
    assert getattr(image, "n_frames", 1) == (1 if kind == "png" else len(run.records) + 1)
    image.seek(getattr(image, "n_frames", 1) - 1)
    own = studio.pipe.decode(final(run).reshape(GRID))
    shown = image.convert("RGB").resize(own.size, Image.BOX)
    assert np.abs(np.asarray(shown, float) - np.asarray(own, float)).mean() < 12


def test_a_replay_page_tells_the_grid_and_holds_every_step(studio, run):
    page = saved(studio, run, "html").decode()
    message = json.loads(re.search(r'id="run">(.*?)</script>', page)[1])
    assert message["grid"] == list(GRID) and message["vocab"] == V
    assert len(message["frames"]) == len(run.records)
    assert all(picture(f["image"]).size == (WIDTH, HEIGHT) for f in message["frames"][1:])


@pytest.mark.parametrize(("grid", "patch"), [((1, 700), 1), ((700, 2), 1), ((3, 250), 2), ((40, 60), 16)])
def test_no_file_is_smaller_than_the_models_picture_however_large_or_fine(run, grid, patch):
    """A model's picture may be larger than the files of ours are, and its cells as small as a pixel."""
    cells = grid[0] * grid[1]
    colours = np.arange(cells, dtype=np.uint8).reshape(grid).repeat(patch, 0).repeat(patch, 1)
    pipe = SimpleNamespace(grid=grid, vocab_size=V, decode=lambda _: Image.fromarray(colours).convert("RGB"))
    large = Run(run.request, grid, V)
    record = SimpleNamespace(
        tokens=np.arange(cells) % (V + 1),
        committed=np.arange(0, cells, 2),
        edited=np.array([[1, 3, 4]]),
    )
    large.records = [record, record]
    for image in (
        draw.frame(pipe, large, 1, export.PNG_SIDE),
        *draw.frames(pipe, large, export.MOVING_SIDE)[0],
    ):
        assert image.width >= grid[1] * patch and image.width % (grid[1] * patch) == 0
        assert image.height * grid[1] == image.width * grid[0]
    marked = draw.frame(pipe, large, 1, export.MOVING_SIDE, marks=True)
    blue = (np.asarray(marked) == draw.NEW).all(-1).sum()
    assert blue >= len(record.committed)


def test_the_model_is_warmed_up_with_a_prompt_that_it_knows():
    """A family may draw named things alone; one without examples takes any words."""
    asked_for = []
    pipe = SimpleNamespace(
        facts=SimpleNamespace(examples=("goldfish", "castle"), fingerprint="0" * 16),
        stream=lambda prompt, **settings: asked_for.append(prompt) or (),
    )
    launch.warm_up(pipe)
    pipe.facts.examples = ()
    launch.warm_up(pipe)
    assert asked_for == ["goldfish", "a warm-up"]
