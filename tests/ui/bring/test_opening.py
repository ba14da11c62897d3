"""Saved runs and pictures come in whole; what is none is refused in one sentence."""

import base64
import dataclasses
import json

import numpy as np
import pytest
from link_hands import V
from studio_hands import carve, edited, settings

from mdm_core.diffusion.trajectory import Trajectory
from mdm_core.settings import SampleConfig
from ui.bring.opening import Opening
from ui.server.form import Refused
from ui.server.runs import Request
from ui.server.studio import Studio


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


def sent(data):
    return {"file": base64.b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).decode()}


@pytest.fixture
def saved(tiny):
    return tiny.generate("a cat", seed=3, steps=5).to_json()


def test_a_saved_run_opens_with_all_its_steps(tiny, studio, saved):
    message = Opening(studio).trajectory(sent(saved))["message"]
    run = studio.store.get(message["run"])
    assert message["state"] == "done" and message["kind"] == "opened" and message["prompt"] == "a cat"
    assert run.request.settings.seed == 3 and run.request.settings.steps == 5
    for a, b in zip(Trajectory.from_json(saved).records, run.records, strict=True):
        assert np.array_equal(a.tokens, b.tokens) and np.array_equal(a.edited, b.edited)


@pytest.mark.parametrize(
    "how",
    [
        lambda d: d.update(format_version=2),
        lambda d: d.update(grid=[16, 16]),
        lambda d: d.update(vocab_size=33),
        lambda d: d.update(records=[]),
        lambda d: d.update(records=d["records"] * 60),
        lambda d: d.update(records=d["records"][1:]),
        lambda d: d.update(prompt=""),
        lambda d: d.update(prompt=[1]),
        lambda d: d.update(prompt="x" * 501),
        lambda d: d["records"][2].update(step=10**30),
        lambda d: d["records"][2].update(step=True),
        lambda d: d["records"][1].update(tokens="////" * 30),
        lambda d: d["records"][1].update(phase="<img src=x onerror=alert(1)>"),
        lambda d: d.update(records=None),
        lambda d: d["records"][1].update(edited=5),
        lambda d: d["records"].append("x"),
        lambda d: d.clear(),
        lambda d: d.update(settings="x"),
        lambda d: d.update(grid=4),
        lambda d: d.update(grid=[4]),
    ],
)
def test_hostile_saved_runs_are_refused_in_one_sentence(studio, saved, how):
    how(saved)
    with pytest.raises(Refused) as refused:
        Opening(studio).trajectory(sent(saved))
    assert str(refused.value).endswith(".") and len(str(refused.value)) < 200 and len(studio.store) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"5",
        b"\xff\xfe",
        b"[" * 10**5,
        b"{" * 10**5,
        b'{"format": NaN}',
        b" " * (4 * 2**20 + 1),
    ],
)
def test_what_is_no_saved_run_is_refused(studio, data):
    with pytest.raises(Refused):
        Opening(studio).trajectory(sent(data))


def test_settings_out_of_range_open_with_defaults(studio, saved):
    saved["settings"] = {
        "seed": -5,
        "steps": 10**9,
        "order": ["x"],
        "edit": "<b>",
        "guidance": float("nan"),
        "x": {},
    }
    message = Opening(studio).trajectory(sent(saved))["message"]
    assert message["seed"] == 0 and message["settings"]["steps"] == SampleConfig().steps


# ---- uploads -----------------------------------------------------------------------------------------------------


def test_an_upload_becomes_a_run_of_one_step(tiny, studio):
    from picture_files import gradient
    from picture_files import saved as as_file

    opening = Opening(studio)
    message = opening.upload({"file": base64.b64encode(as_file(gradient())).decode()})["message"]
    assert message["ground"] and message["kind"] == "upload" and len(message["frames"]) == 1
    run = studio.store.get(message["run"])
    assert run.ground is not None and np.array_equal(run.records[0].tokens, run.ground.tokens)
    answer = opening.functions()[0]({"file": "garbage"})
    assert answer == {"error": "The picture did not arrive whole: choose the file again."}
    for wrong in (None, [], 5, {"file": None}, {}):
        assert set(opening.functions()[0](wrong)) == {"error"}
    assert len(studio.store) == 1


def test_a_repaint_of_an_upload_keeps_its_ground(tiny, studio):
    from picture_files import gradient
    from picture_files import saved as as_file

    message = Opening(studio).upload({"file": base64.b64encode(as_file(gradient())).decode()})["message"]
    photo = studio.store.get(message["run"])
    hole = edited(photo, 0, [5, 6], V)
    run = carve(studio, Request("repaint", settings(), hole, None, None, (photo.id, 0)), photo)
    assert run.ground is photo.ground
    assert dataclasses.is_dataclass(run.ground)
