"""The repaint benchmark: its tasks differ in one region, its rules see what is wrong, its command writes a record."""

import dataclasses
import json
import sys
from collections import Counter

import numpy as np
import pytest
import tiny_world
import tiny_world_model

from mdm_core.pipeline import Pipeline
from trainer.evaluate import repaint
from trainer.evaluate.generate import Artist, encode
from trainer.evaluate.repaint_tasks import EVERY_KIND, EXACT_KINDS, tasks
from trainer.judge.detector import Detection
from trainer.scenes.atlas import Atlas
from trainer.scenes.repaint import KINDS
from trainer.scenes.spec import EMOJI_128, WORLD_256

STYLES = list(tiny_world.STYLES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def atlas(folder):
    return Atlas.load(tiny_world.build(folder / "atlas", 40))


@pytest.fixture(scope="module")
def model(folder, atlas):
    return tiny_world_model.build_model(folder / "model", [o.name for o in atlas.objects])


@pytest.fixture(scope="module", params=["emoji_128", "world_256"])
def world(request, atlas):
    """(sprites, world, styles, tasks) of either world."""
    if request.param == "world_256":
        return atlas, WORLD_256, STYLES, tasks(atlas, WORLD_256, STYLES, 40, 10)
    shipped = Atlas.load()
    return shipped, EMOJI_128, ["flat", "bright"], tasks(shipped, EMOJI_128, ["flat", "bright"], 60, 10)


def perfect(scene):
    """What a judge without any error would find."""
    return [
        Detection(o.name, o.colour, (o.x, o.y, o.x + o.size, o.y + o.size), 1.0, 1.0) for o in scene.objects
    ]


def test_tasks_are_of_every_kind_and_the_same_each_time(world):
    atlas, spec, styles, todo = world
    assert Counter(t.kind for t in todo) == {**dict.fromkeys(KINDS, 10), **dict.fromkeys(EXACT_KINDS, 2)}
    assert [t.index for t in todo] == list(range(len(todo)))
    assert {s for t in todo if t.kind in KINDS for s in (t.split,)} == {"seen", "held_out"}
    again = tasks(atlas, spec, styles, 40 if spec is WORLD_256 else 60, 10)
    for a, b in zip(todo, again, strict=True):
        assert (a.before, a.after, a.offset) == (b.before, b.after, b.offset)
        assert np.array_equal(a.region, b.region)
    other = tasks(atlas, spec, styles, 40, 10, seed=1)
    assert [t.before for t in other] != [t.before for t in todo]


def test_pictures_before_and_after_differ_in_the_region_alone(world):
    atlas, spec, styles, todo = world
    artist = Artist(atlas, 40 if spec is WORLD_256 else 60, styles, spec=spec)
    mine = [t for t in todo if t.kind in KINDS]
    before, after = (artist.draw([getattr(t, name) for t in mine]) for name in ("before", "after"))
    for task, a, b in zip(mine, before, after, strict=True):
        changed = (a != b).any(-1).view(spec.grid, spec.patch, spec.grid, spec.patch).any(3).any(1).numpy()
        assert changed.any() and not (changed & ~task.region).any(), task
        assert not task.region.all()


def test_the_rules_accept_the_true_result_and_refuse_the_picture_as_it_was(world):
    spec, todo = world[1], world[3]
    for t in todo:
        told = repaint.judged(t, perfect(t.after), spec.cell)
        assert told["asked"] and told["kept"], t
        same = repaint.judged(t, perfect(t.before), spec.cell)
        # a thing that is only moved is as it was, but not in its place
        assert not (same["asked"] and same["kept"]), t


def test_a_thing_that_should_have_stayed_is_missed(world):
    spec, todo = world[1], world[3]
    t = next(t for t in todo if t.kind == "replace")
    [kept] = t.kept
    gone = [d for d in perfect(t.after) if d.name != kept.name]
    assert repaint.judged(t, gone, spec.cell) == {"asked": False, "kept": False, "mistakes": ["missing"]}
    away = dataclasses.replace(
        next(d for d in perfect(t.after) if d.name == kept.name), box=(0.0, 0.0, 1.0, 1.0)
    )
    there = [*gone, away]
    assert repaint.judged(t, there, spec.cell)["asked"] and not repaint.judged(t, there, spec.cell)["kept"]


def test_copied_tokens_are_the_things_own_and_nothing_else_moves(world):
    spec, todo = world[1], world[3]
    rng = np.random.default_rng(0)
    for t in todo:
        tokens = rng.integers(0, 500, (spec.grid, spec.grid))
        start = t.start(tokens, 999)
        assert ((start == 999) == t.region).all()
        if t.kind in EXACT_KINDS:
            assert (start[t.target] == tokens[t.source]).all() and t.source.sum() == t.target.sum()
            assert not (t.target & t.source).any() and not (t.target & t.region).any()
            # what a moved thing leaves is a hole; what is copied stays
            assert (t.region & t.source).sum() == (t.source.sum() if t.kind == "move" else 0)
            untouched = ~(t.region | t.target)
            assert (start[untouched] == tokens[untouched]).all()
        else:
            assert (start[~t.region] == tokens[~t.region]).all()
        assert t.rest_is_exact(tokens, np.where(t.region, 7, start))
        spoilt = start.copy()
        spoilt[tuple(np.argwhere(~t.region)[0])] += 1
        assert not t.rest_is_exact(tokens, spoilt)


def test_a_model_changes_the_region_and_nothing_else(model, atlas):
    pipe = Pipeline.from_pretrained(model, "cpu")
    todo = tasks(atlas, WORLD_256, STYLES, 40, 1)
    before = encode(pipe, Artist(atlas, 40, STYLES, spec=WORLD_256).draw([t.before for t in todo]))
    made = repaint.made_anew(pipe, todo, before, batch=4, steps=1, polish=0)
    assert made.shape == before.shape and (made < pipe.vocab_size).all()
    for t, b, m in zip(todo, before, made, strict=True):
        assert t.rest_is_exact(b, m), t.kind
        assert t.kind != "move" or (m[t.target] == b[t.source]).all()


def test_the_command_writes_a_record_and_shows_another_beside_it(monkeypatch, folder, model, atlas, capsys):
    judge = tiny_world_model.build_judge(folder / "judge", [o.name for o in atlas.objects])
    out = folder / "repaint.json"
    words = ["--model", model, "--atlas", atlas.root, "--verifier", judge, "--limit", 2, "--json", out]
    words += ["--device", "cpu", "--set", "steps=1", "polish=0"]
    monkeypatch.setattr(sys, "argv", ["repaint", *map(str, words)])
    repaint.main()
    record, said = json.loads(out.read_text()), capsys.readouterr().out
    assert record["world"] == "world_256" and list(record["rows"]["model"]["kinds"]) == list(EVERY_KIND)
    assert set(record["rows"]) == {"model", "real renders", "round trip", "as it was"}
    for kind, told in record["rows"]["model"]["kinds"].items():
        assert told["n"] == (2 if kind in KINDS else 1) and told["exact"] == 1.0
        assert told["low"] <= told["share"] <= told["high"]
    assert len(record["tasks"]) == 10 and "as it was" in said
    monkeypatch.setattr(sys, "argv", ["repaint", *map(str, words), "--kinds", "add", "--beside", str(out)])
    repaint.main()
    assert f"model {record['model']['sha256'][:12]} of world_256" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": {"model": {"kinds": {}}}}'])
def test_a_record_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ValueError, match="holds no record of the repaint benchmark"):
        repaint.beside_of(tmp_path / "other.json")
    assert repaint.beside_of(None) is None


def test_a_model_of_other_objects_is_refused(folder, atlas):
    names = [o.name for o in atlas.objects]
    pipe = Pipeline.from_pretrained(tiny_world_model.build_model(folder / "odd", names[::-1]), "cpu")
    with pytest.raises(ValueError, match="the model's objects are not the first 40"):
        repaint.open_tasks(pipe, type("J", (), {"spec": WORLD_256}), atlas, 1, ("add",))
