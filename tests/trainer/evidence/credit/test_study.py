"""The queue of arms: what is done stays, what was cut goes on, and a record of everything at every moment."""

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_ground
import torch

from mdm_core.families.chisel.config import ImageTokenizerConfig
from trainer.evidence.credit import cost, study, training
from trainer.evidence.credit.arms import Credit
from trainer.evidence.credit.pages import credit_pages
from trainer.settings.credit import ARMS, STUDIES, CreditSettings

SMALL = {
    "steps": 4,
    "batch": 4,
    "rows": 0.5,
    "checks": 2,
    "pictures_every": 2,
    "device": "cpu",
    "commit": "abc",
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    torch.set_num_threads(1)
    return tiny_ground.tiny_ground(tmp_path_factory.mktemp("judged"), per_tag=2)


@pytest.fixture
def small(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setitem(training.BODIES, "small", tiny_ground.BODY)


def asked(ground, out, **changes):
    return CreditSettings(**{**SMALL, "ground": ground.folder, "out": out, **changes})


def never():
    return False


def test_an_arm_is_judged_by_its_pictures_and_by_how_they_are_edited(judged, tmp_path, small):
    s = asked(judged, tmp_path, arms=("ce",), seeds=1, editing=True, keep_models=True)
    info = study.prepared(s)
    assert study.train_arm(s, "ce", 0, time.time() + 600, never) == "done"
    (row,) = study.collect(s, info)
    last = row["curve"][-1]
    assert [("accepted" in e) for e in row["curve"]] == [False, True] and len(last["right"]) == 12
    assert 0 <= last["accepted_low"] <= last["accepted"] <= last["accepted_high"] <= 1 and last["frechet"] > 0
    sides = row["sides"]
    assert list(sides) == ["off", "remask", "overwrite"] and sides["off"]["edits_per_picture"] == 0
    for mode in ("off", "remask"):  # at equal passes, as nearly as whole steps allow
        assert sides[mode]["passes"] == pytest.approx(sides["overwrite"]["passes"], abs=1.01)
    assert (study.folder_of(tmp_path, "ce", 0) / "model" / "model.safetensors").exists()
    assert not list(study.folder_of(tmp_path, "ce", 0).glob("checkpoints/*"))
    (tmp_path / "credit_e.json").write_bytes((tmp_path / "credit.json").read_bytes())
    assert "## E. Editing from both sides" in "\n".join(credit_pages(tmp_path))


def test_a_run_that_is_cut_goes_on_and_one_that_is_done_is_left_alone(judged, tmp_path, small):
    ground = judged
    whole, cut = (asked(ground, tmp_path / name, arms=("gce8",), pictures_every=100) for name in "ab")
    rows = []
    for s in (whole, cut):
        info = study.prepared(s)
        if s is cut:
            third = iter([False, False, True]).__next__
            assert study.train_arm(s, "gce8", 1, time.time() + 600, third) == "cut at step 3"
            (row,) = study.collect(s, info)
            assert not row["done"] and [e["step"] for e in row["curve"]] == [2]
        assert study.train_arm(s, "gce8", 1, time.time() + 600, never) == "done"
        rows.append(study.collect(s, info)[0])
    assert [e["masked_bits"] for e in rows[0]["curve"]] == [e["masked_bits"] for e in rows[1]["curve"]]
    record = json.loads((tmp_path / "a" / "credit.json").read_text())
    assert record["runs"] == [rows[0]] and record["ground"]["vocab_size"] == 32 and record["prompts"] == 12
    with pytest.raises(ValueError, match=r"another steps \(4, not 5\)"):
        study.prepared(dataclasses.replace(whole, steps=5))


def test_jobs_come_seed_by_seed_and_every_study_names_arms_that_there_are():
    s = CreditSettings(study="vocabulary", seeds=2, first_seed=3)
    assert s.jobs == [("ce", 3), ("gce8", 3), ("ce", 4), ("gce8", 4)]
    assert CreditSettings(arms=("knn8",), seeds=1).jobs == [("knn8", 0)]
    assert {a for arms in STUDIES.values() for a in arms} <= ARMS.keys()
    assert all(arms[0] in ("ce", "bare") for arms in STUDIES.values())
    assert len({arm.said for arm in ARMS.values()} - {"CE"}) == len(ARMS) - 1
    assert Credit().groups is None


def test_a_card_each_and_no_card_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert study.cards_of(CreditSettings()) == ["0", "1", "2", "3"]
    assert study.cards_of(CreditSettings(cards=2)) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert study.cards_of(CreditSettings()) == ["2", "5"]
    assert study.cards_of(CreditSettings(device="cpu")) == [None]


def test_the_whole_queue_in_processes_of_its_own(judged, tmp_path):
    """With the small body as it is: two arms of one step, one after the other, then nothing is left to do."""
    s = asked(judged, tmp_path, arms=("ce", "gce8"), seeds=1, size="cpu", steps=1, checks=1, minutes=20.0)
    rows = study.run_queue(s)
    assert sorted(r["arm"] for r in rows) == ["ce", "gce8"] and all(r["done"] for r in rows)
    began = time.time()
    assert study.run_queue(s) == rows and time.time() - began < 60
    late = dataclasses.replace(s, arms=("knn8",), minutes=1e-3)
    assert study.run_queue(late) == rows  # no time: not begun, and nothing lost


def test_the_forecast_meets_the_step_that_was_measured(tmp_path):
    """Table A's record of an H100: the same body, batch, share of tokens and vocabulary."""
    record = json.loads((Path(__file__).parents[4] / "assets" / "evidence" / "ablation_gpu.json").read_text())
    s = CreditSettings(batch=record["batch"], rows=record["rows"])
    codec = ImageTokenizerConfig(128, 8, tuple(record["levels"]))
    recipe = training.recipe_of(s, SimpleNamespace(folder=tmp_path), ARMS["ce"], 0).for_codec(codec)
    measured = record["alone"]["ce"]["seconds_per_step"]
    assert cost.step_seconds(s, recipe) == pytest.approx(measured, rel=0.15)


def test_the_cost_grows_with_what_is_asked_and_follows_what_was_measured(judged, tmp_path):
    s = asked(judged, tmp_path, size="small", steps=1000, batch=512, arms=("ce", "own"), seeds=2)
    one = cost.run_seconds(judged, s, "ce")
    assert one is not None and 1 < one < 3600
    assert cost.run_seconds(judged, dataclasses.replace(s, steps=2000), "ce") > 1.5 * one
    assert cost.run_seconds(judged, s, "own") > one  # drafts cost a pass
    assert cost.run_seconds(judged, dataclasses.replace(s, editing=True), "ce") > one
    assert cost.run_seconds(judged, s, "ce", tmp_path) is None
    text = cost.predict(judged, s)
    assert "forecast" in text and "minutes of one GPU" in text and "ce " in text and "own " in text
    folder = study.folder_of(tmp_path, "ce", 0)
    folder.mkdir(parents=True)
    row = {"arm": "ce", "done": True, "seconds_per_step": 0.6, "seconds_of_checks": 12.0}
    (folder / "row.json").write_text(json.dumps(row))
    assert "10.2 minutes a run (measured)" in cost.predict(judged, s)
