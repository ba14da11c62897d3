"""Steps that are recorded: a table and a timeline in the run's folder, and the run goes on as it would have."""

import gzip
import json

import pytest
import torch
from tiny_run import codec_folder, tiny_run

from trainer import timeline


def test_steps_are_recorded_once_the_first_are_over(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timeline, "WARM", 2)
    codec = codec_folder(tmp_path / "codec")
    plain, traced = (tiny_run(codec, tmp_path / str(n), steps=6, trace_steps=n) for n in (0, 3))
    plain.run()
    assert not any((plain.out / name).exists() for name in timeline.NAMES)
    traced.run()
    first, *table = (traced.out / "trace.txt").read_text().splitlines()
    assert first.startswith("3 steps of ") and first.endswith(" ms")
    assert first in capsys.readouterr().out
    assert any("aten::mm" in line or "aten::linear" in line for line in table)
    with gzip.open(traced.out / "trace.json.gz", "rt") as file:
        names = [event.get("name") for event in json.load(file)["traceEvents"]]
    assert names.count("aten::embedding_dense_backward") >= 3  # once a step at least
    pairs = zip(plain.model.parameters(), traced.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_run_too_short_to_be_recorded_says_nothing(tmp_path):
    run = tiny_run(codec_folder(tmp_path / "codec"), tmp_path / "run", steps=3, trace_steps=2)
    run.run()
    assert run.step == 3 and not (run.out / "trace.txt").exists()


@pytest.mark.parametrize(
    ("intervals", "length"),
    [([], 0), ([(0, 2), (1, 3), (5, 6)], 4), ([(5, 6), (0, 9)], 9), ([(1, 2), (2, 3)], 2)],
)
def test_time_that_is_covered(intervals, length):
    assert timeline.covered(intervals) == length
