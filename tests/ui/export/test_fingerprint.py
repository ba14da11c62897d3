"""Links and saved runs say which model made them; another model of the same shape refuses them in one sentence."""

import base64
import dataclasses
import io
import json
import re
from types import SimpleNamespace

import pytest
from link_hands import GRID, V, change
from PIL import Image
from studio_hands import Tab, carve, settings

from mdm_core.diffusion.trajectory import MadeBy, Trajectory
from mdm_core.pipeline import Pipeline
from ui.bring.opening import Opening
from ui.export import envelope, export, replay, sharelink
from ui.server.runs import Request
from ui.server.studio import Studio

OURS = SimpleNamespace(name="Chisel emoji", fingerprint="00112233445566aa")
THEIRS = SimpleNamespace(name="Chisel birds", fingerprint="ffeeddccbbaa9988")


def of(tiny, facts):
    """The tiny pipeline as a model of these facts; None: without a fingerprint, as before there were any."""
    pipe = Pipeline(tiny.codec, tiny.prompts, tiny.backbone, tiny.config)
    name, fingerprint = (facts.name, facts.fingerprint) if facts else ("", "")
    pipe.facts = dataclasses.replace(pipe.facts, name=name, fingerprint=fingerprint)
    return Studio(lambda: pipe)


@pytest.fixture
def made(tiny):
    """(studio, a run of ours)"""
    studio = of(tiny, OURS)
    return studio, carve(studio, Request("generate", settings(steps=2, polish=0)))


def followed(studio, link):
    """(last state or None, last notice) of a link."""
    out = list(Opening(studio).link(link, Tab()))
    states = [o[0]["state"] for o in out if isinstance(o[0], dict) and "state" in o[0]]
    return (states or [None])[-1], [o[1] for o in out if isinstance(o[1], str)][-1]


def brought(studio, data):
    open_run = next(f for f in Opening(studio).functions() if f.__name__ == "open_run")
    return open_run({"file": base64.b64encode(json.dumps(data).encode()).decode()})


def test_a_link_opens_on_its_own_model_wherever_that_lies(tiny, made):
    studio, run = made
    link = sharelink.encode(run, studio.store)
    renamed = SimpleNamespace(name="a copy of it", fingerprint=OURS.fingerprint)
    for facts in (OURS, renamed, None):
        assert followed(of(tiny, facts), link) == ("done", "")


def test_another_model_of_the_same_shape_refuses_a_link_and_says_whose_it_is(tiny, made):
    studio, run = made
    state, notice = followed(of(tiny, THEIRS), sharelink.encode(run, studio.store))
    assert state is None and notice == (
        "This link was made with another model, “Chisel emoji” (00112233445566aa), "
        "whose tokens mean something else here."
    )


def test_another_model_of_the_same_shape_refuses_a_saved_run(tiny, made):
    _, run = made
    data = json.loads(export.as_json(run))
    assert brought(of(tiny, OURS), data)["message"]["state"] == "done"
    assert brought(of(tiny, THEIRS), data) == {
        "error": "This run was made with another model, “Chisel emoji” (00112233445566aa), "
        "whose tokens mean something else here."
    }
    data["grid"] = [5, 5]
    assert set(brought(of(tiny, OURS), data)) == {"error"}


def test_what_was_made_before_models_had_fingerprints_opens_everywhere(tiny):
    studio = of(tiny, None)
    run = carve(studio, Request("generate", settings(steps=2, polish=0)))
    link, data = sharelink.encode(run, studio.store), json.loads(export.as_json(run))
    assert "made_by" not in data
    for facts in (None, OURS, THEIRS):
        assert followed(of(tiny, facts), link) == ("done", "")
        assert brought(of(tiny, facts), data)["message"]["state"] == "done"


def test_a_link_of_another_shape_says_whose_it_is_too(made):
    studio, run = made
    with pytest.raises(ValueError, match="another model, “Chisel emoji” "):
        sharelink.decode(sharelink.encode(run, studio.store), (8, 8), V)


@pytest.mark.parametrize(
    "by", [None, "x", [], ["x"], ["x", "y"], [1, "0" * 16], ["x", "0" * 16, 1], {}, ["x", "A" * 16]]
)
def test_a_changed_maker_is_refused(tiny, made, by):
    studio, run = made
    link = change(sharelink.encode(run, studio.store), lambda d: d.update(by=by))
    assert followed(of(tiny, OURS), link) == (None, envelope.BROKEN)
    answer = brought(of(tiny, OURS), {**json.loads(export.as_json(run)), "made_by": by})
    assert answer["error"].startswith("This file is no saved run")


def test_a_name_from_elsewhere_stays_short_and_on_its_line(tiny, made):
    studio, run = made
    name = "<b>\n\u202e" + "x" * 5000
    link = change(sharelink.encode(run, studio.store), lambda d: d.update(by=[name, "0" * 16]))
    _, notice = followed(of(tiny, OURS), link)
    assert "\n" not in notice and "\u202e" not in notice and len(notice) < 170


def test_a_library_run_says_who_made_it_and_a_saved_one_keeps_it(tiny, tmp_path):
    pipe = of(tiny, OURS).pipe
    run = pipe.generate("a cat", steps=1, polish=0)
    run.save(tmp_path / "run.json")
    assert (
        Trajectory.load(tmp_path / "run.json").made_by
        == MadeBy("Chisel emoji", OURS.fingerprint)
        == run.made_by
    )


def test_pictures_and_replay_pages_say_it_too(tiny, made):
    studio, run = made
    text = Image.open(io.BytesIO(export.png(studio.pipe, run, 1))).text
    assert json.loads(text["made_by"]) == list(run.made_by)
    page = replay.page(studio, run).decode()
    told = json.loads(re.search(r'id="run">(.*?)</script>', page, re.S)[1])
    assert told["made_by"] == list(run.made_by)


def test_what_a_link_may_weigh_grows_with_the_grid():
    assert envelope.most_characters(GRID[0] * GRID[1]) == envelope.most_characters(256) == 6000
    assert envelope.most_json(16) == 48 * 2**10 < envelope.most_json(4096) < 2**19
    assert envelope.most_characters(4096) > 17_364  # an uploaded picture at 64 x 64, measured
