"""Checkpoints of runs in shards: each process writes its rows; whole or not at all; read by any number of them."""

import json
import random
import time

import pytest
import torch
from crew import Crew
from distributed_worker import dies, train, whole_state
from tiny_run import codec_folder, tiny_run

from trainer.engine import checkpoint, state
from trainer.engine.checkpoint import Rows

OPTIONS = {"steps": 8, "save_every": 2, "log_every": 1000, "validate_every": 1000, "keep_last": 9}
KILLS = 6


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return codec_folder(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def undisturbed(codec, tmp_path_factory):
    """(folder of a run in two processes, what it found)"""
    out = tmp_path_factory.mktemp("two")
    return out, Crew(2, train, "fsdp", codec, out, OPTIONS).results()[0]


def test_every_process_writes_its_rows(undisturbed):
    path = checkpoint.newest(state.folder(undisturbed[0]))
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["format_version"] == checkpoint.FORMAT_VERSION
    sizes = [manifest["files"][f"tensors-{rank:03d}-000.safetensors"]["bytes"] for rank in (0, 1)]
    assert max(sizes) < 1.2 * min(sizes)  # nobody gathers
    assert sorted(f.name for f in path.iterdir()) == sorted([*manifest["files"], "manifest.json"])


@pytest.mark.parametrize("worlds", [(2, 1), (1, 2), (2, 3)], ids=str)
def test_another_number_of_devices_finds_the_same_state(codec, undisturbed, tmp_path, worlds):
    before, after = worlds
    out = undisturbed[0]
    if before == 1:
        out = tmp_path / "one"
        tiny_run(codec, out, **OPTIONS).run()
    expected = dict(_tensors(checkpoint.newest(state.folder(out))))
    found = Crew(after, whole_state, "fsdp", codec, out, OPTIONS).results()
    assert found[0].keys() == expected.keys() and len(expected) > 40
    for name, value in expected.items():
        assert torch.equal(torch.tensor(found[0][name]).view_as(value), value), name
    assert found[-1] == found[0]


def _tensors(path):
    reader = checkpoint.Reader(path)
    return [(name, reader[name].float()) for name in reader]


def test_killed_at_random_and_gone_on_with_equals_undisturbed(codec, undisturbed, tmp_path):
    """Half of the kills hit one process inside a save, the other half both of them whenever they come."""
    chance, kills, out = random.Random(5), 0, tmp_path / "0"
    names = set(checkpoint.Reader(checkpoint.newest(state.folder(undisturbed[0]))))
    while kills < KILLS:
        rank, nth = chance.randint(0, 1), chance.randint(1, 2)
        point = chance.choice(checkpoint.POINTS) if rank == 0 else "tensors written"
        if kills % 2:
            found = Crew(2, train, "fsdp", codec, out, OPTIONS).wait(chance.uniform(0.2, 1.5))
        else:
            found = Crew(2, dies, codec, out, OPTIONS, rank, point, nth).wait()
        if found:
            assert found[0]["weights"] == undisturbed[1]["weights"]
            out = tmp_path / str(kills)
        else:
            kills += 1
            kept = checkpoint.newest(state.folder(out))
            assert kept is None or set(checkpoint.Reader(kept)) == names
    found = Crew(2, train, "fsdp", codec, out, OPTIONS).results()
    assert found[0]["weights"] == undisturbed[1]["weights"]


def being_written(run):
    """The step whose checkpoint the writer is at, whatever step the run itself has come to by then."""
    (aside,) = state.folder(run.out).glob(".tmp-*")
    return int(aside.name.removeprefix(".tmp-"))


def until(true):
    """Waits; a slow writer, or a slow run, as slow as the test wants it."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("slow", [False, True])
def test_a_process_that_cannot_write_ends_the_run_in_all(codec, tmp_path, monkeypatch, slow):
    """The error is raised where the run asks next, and the checkpoint before stays.

    A slow writer still has step 2 in hand when the run wants step 4 written.
    """
    run = tiny_run(codec, tmp_path, steps=6, save_every=2)

    def fail(where):
        if where == "tensors written" and being_written(run) == 4:
            raise OSError(28, "No space left on device")
        if where == "tensors written" and slow:
            until(lambda: run.step == 4)

    monkeypatch.setattr(checkpoint, "at", fail)
    with pytest.raises(
        checkpoint.CheckpointError, match="step 4 could not be written.*full.*000000002 is intact"
    ):
        run.run()
    assert run.step in (4, 5, 6)
    assert checkpoint.newest(state.folder(tmp_path)).name == "step-000000002"


@pytest.mark.parametrize("reached", [3, 4])
def test_the_step_goes_on_while_files_are_written(codec, tmp_path, monkeypatch, reached):
    """And what is written is the state of that step, not of the steps since; the next one waits for it."""
    run = tiny_run(codec, tmp_path / "slow", steps=4, save_every=2, keep_last=9)
    steps, at = [], checkpoint.at

    def slow(where):
        at(where)
        if where == "state written" and being_written(run) == 2:
            until(lambda: run.step >= reached)
            steps.append(run.step)

    monkeypatch.setattr(checkpoint, "at", slow)
    run.run()
    monkeypatch.undo()
    assert len(steps) == 1 and reached <= steps[0] <= 4
    plain = tiny_run(codec, tmp_path / "plain", steps=4, save_every=2, keep_last=9)
    plain.run()
    for step in (2, 4):
        a, b = (checkpoint.Reader(state.folder(r.out) / f"step-{step:09d}") for r in (run, plain))
        assert all(torch.equal(a[k], b[k]) for k in b) and a.state["step"] == step


def test_rows_come_from_whichever_file_holds_them(tmp_path):
    whole = torch.arange(14.0).view(7, 2)
    parts = [(whole[:3], 0), (whole[3:6], 3), (whole[6:], 6)]
    checkpoint.begin(tmp_path, 1)
    for rank in (2, 0, 1):
        tensor, first = parts[rank]
        own = [("alone", torch.tensor(3.0))] if rank == 0 else []
        checkpoint.write(tmp_path, 1, [("w", Rows(tensor, first, 7)), *own], rank, 3)
    reader = checkpoint.Reader(checkpoint.finish(tmp_path, 1, "{}", 3))
    assert reader.shape("w") == [7, 2] and torch.equal(reader["w"], whole) and reader["alone"] == 3
    for first in range(8):
        for last in range(first, 8):
            assert torch.equal(reader.rows("w", first, last), whole[first:last]), (first, last)


def test_a_part_that_never_comes_leaves_the_checkpoint_before(tmp_path):
    checkpoint.save(tmp_path, 1, [("w", torch.ones(2))], {})
    checkpoint.begin(tmp_path, 2)
    checkpoint.write(tmp_path, 2, [("w", Rows(torch.ones(1), 0, 2))], 0, 2)
    assert checkpoint.newest(tmp_path).name == "step-000000001"
    with pytest.raises(checkpoint.CheckpointError, match="another process could not write its part"):
        checkpoint.finish(tmp_path, 2, "{}", 2, lambda: True)
    assert checkpoint.newest(tmp_path).name == "step-000000001" and not list(tmp_path.glob(".tmp-*"))
