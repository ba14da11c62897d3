"""The scaling table: real processes, started as a training run is, with a model that any machine trains."""

import json

import pytest

from trainer.bench import scaling


def test_a_table_of_one_and_two_processes_on_the_cpu(tmp_path, capsys):
    arguments = "--device cpu --tiny --processes 2 1 --seconds 0.2".split()
    path = scaling.main([*arguments, "--out", str(tmp_path)])
    record = json.loads(path.read_text())
    assert path.name == "scaling_cpu.json" and record["model"] == "tiny" and record["environment"]["device"]
    rows = record["rows"]
    assert [(r["processes"], r["kind"]) for r in rows] == [(1, "alone"), (2, "ddp"), (2, "fsdp")], rows
    alone = rows[0]["samples_per_second"]
    for r in rows:
        assert r["steps"] >= 5 and r["tokens_per_second"] == pytest.approx(16 * r["samples_per_second"])
        assert r["efficiency"] == pytest.approx(r["samples_per_second"] / r["processes"] / alone)
    assert len({r["parameters"] for r in rows}) == 1
    said = capsys.readouterr().out
    assert "| 2 | fsdp |" in said and "| 1 | alone |" in said and "100%" in said


def test_what_fails_is_a_line_of_the_table(tmp_path, monkeypatch, capsys):
    def fails(asked, processes):
        raise RuntimeError("2 processes, ddp: it failed\nout of memory")

    monkeypatch.setattr(scaling, "launch", fails)
    scaling.main(["--device", "cpu", "--processes", "2", "--kinds", "ddp", "--out", str(tmp_path)])
    assert "| 2 | ddp | failed: out of memory" in capsys.readouterr().out


def test_a_recipes_own_shape_can_be_measured():
    asked = {"device": "cuda", "recipe": "paper_1024", "depth": 2, "batch": 4, "tiny": False, "kind": "fsdp"}
    recipe = scaling.recipe_of(asked)
    assert (recipe.model.width, recipe.model.depth, recipe.model.vocab_size) == (4096, 2, 131072)
    assert recipe.parallel == "fsdp" and recipe.checkpointing and recipe.data.length == 4096


def test_more_processes_than_gpus_are_refused(tmp_path):
    with pytest.raises(ValueError, match="as many GPUs"):
        scaling.main(["--device", "cuda", "--processes", "64", "--out", str(tmp_path)])
