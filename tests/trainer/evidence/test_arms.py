"""The arms of table A: trained by the loop of all runs, with the figures of the loop that they once had."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_arm import TinyBench, tiny_arm

from trainer.engine import checkpoint
from trainer.engine.run import DivergedError
from trainer.engine.state import split
from trainer.evidence import ablate, arms
from trainer.evidence.arms import ARMS, SharedRows

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "numbers.json").read_text())["arms"]


@pytest.mark.parametrize("name", GOLDEN)
def test_figures_of_fixed_seeds(tmp_path, name):
    torch.set_num_threads(1)
    bench = TinyBench(tmp_path)
    passed = []
    _, seconds, curve = bench.train(ARMS[name], 1, 12, bench.load(), gate=lambda: passed.append(True))
    assert seconds > 0 and passed == [True]
    assert [sorted(e) for e in curve] == [sorted(e) for e in GOLDEN[name]]
    for found, expected in zip(curve, GOLDEN[name], strict=True):
        assert found == pytest.approx(expected, rel=2e-3)
    assert not (tmp_path / "checkpoints").exists()


def test_a_measurement_of_speed_ends_early_and_writes_nothing(tmp_path):
    bench = TinyBench(tmp_path)
    _, seconds, curve = bench.train(ARMS["ce"], 0, 1000, bench.load(), stop=5)
    assert seconds > 0 and curve == [] and not list(tmp_path.iterdir())


def test_a_resumed_arm_equals_an_unbroken_one(tmp_path):
    arm = ARMS["gce8"]
    whole = tiny_arm(tmp_path / "whole", arm)
    whole.run()
    first = tiny_arm(tmp_path / "cut", arm)
    first.last = 7
    first.validates = lambda: first.step * 4 % 12 < 4
    first.run()
    assert first.step == 7
    torch.manual_seed(9)
    again = tiny_arm(tmp_path / "cut", arm)
    assert again.resume() and again.step == 7
    again.run()
    a, b = (dict(split(r.parts)[0]) for r in (whole, again))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    bits = [[e["masked_bits"] for e in r.log] for r in (whole, again)]
    assert bits[0] == bits[1] and len(bits[0]) == 4


def test_an_arm_that_diverges_stops_as_every_run_does(tmp_path):
    run = tiny_arm(tmp_path, ARMS["ce"])
    net = run.net
    run.net = lambda *batch: net(*batch) * (float("nan") if run.step == 5 else 1.0)
    with pytest.raises(DivergedError, match="at step 6: lower lr and resume; .*000000004"):
        run.run()
    assert checkpoint.newest(tmp_path / "checkpoints").name == "step-000000004"


def test_rows_come_in_the_order_of_the_seed_and_each_once_an_epoch():
    x0 = torch.arange(10).view(10, 1)
    source = SharedRows(x0, x0, 3, seed=4)
    order = torch.Generator().manual_seed(1004)
    expected = []
    for _ in range(2):
        expected += reversed(torch.randperm(10, generator=order).split(3))
    found = [source.batch(i).tokens.flatten() for i in range(8)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.equal(source.batch(2).tokens.flatten(), expected[2])  # back in the first epoch


def test_the_command_goes_on_with_an_arm_that_was_cut(tmp_path, monkeypatch):
    """A signal ends a run after a checkpoint; what has ended is not trained again."""
    torch.set_num_threads(1)

    def listen(run):
        update = run.update
        run.update = lambda: (update(), setattr(run, "stop", run.step == cut))

    monkeypatch.setattr(arms, "leave_on_signals", listen)
    monkeypatch.setattr(ablate, "Bench", lambda args: TinyBench(args.out))
    monkeypatch.setattr(TinyBench, "measure", lambda *_: {"score": {"mean": 0.0}})
    found = []
    for name, cuts in (("whole", (0,)), ("cut", (5, 0, 0))):
        out = tmp_path / name
        out.mkdir()
        asked = SimpleNamespace(out=out, steps=12, first_seed=1, seeds=2, worker="gce8", batch=3, until=1e12)
        for cut in cuts:
            with pytest.raises(KeyboardInterrupt) if cut else nullcontext():
                ablate.worker(asked)
            ended = out / "run_gce8_1.json"
            assert ended.exists() == (cut == 0) and (out / "arm_gce8_1").exists() == (cut != 0)
        found.append(json.loads(ended.read_text())["curve"])
    assert found[0] == found[1] and len(found[0]) == 4
