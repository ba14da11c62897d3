"""Checkpoints are whole or not at all: torn ones are never chosen, a failing disk harms no earlier one."""

import errno
import json
import os
import resource
import shutil
import signal

import pytest
import torch
from tiny_run import codec_folder, tiny_run

from trainer.engine import checkpoint
from trainer.engine.checkpoint import CheckpointError, Reader, check_writable, is_whole, newest


def tensors(value=1.0):
    return iter([("a", torch.full((4, 3), value)), ("b", torch.arange(5))])


def write(folder, step, **options):
    return checkpoint.save(folder, step, tensors(float(step)), {"step": step}, **options)


def test_what_is_written_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FILE_BYTES", 50)  # one file per tensor
    path = write(tmp_path, 3)
    assert len(list(path.glob("tensors-*"))) == 2 and (tmp_path / "LATEST").read_text() == path.name + "\n"
    reader = Reader(newest(tmp_path))
    assert reader.state == {"step": 3} and sorted(reader) == ["a", "b"]
    assert torch.equal(reader["a"], torch.full((4, 3), 3.0)) and torch.equal(reader["b"], torch.arange(5))
    with pytest.raises(ValueError, match="holds no 'c'"):
        reader["c"]


def cut(path):
    file = path / "tensors-000.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(path):
    file = path / "tensors-000.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


DAMAGE = {
    "cut": cut,
    "bit": flip_a_bit,
    "tensors gone": lambda path: (path / "tensors-000.safetensors").unlink(),
    "state emptied": lambda path: (path / "state.json").write_text(""),
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "half a manifest": lambda path: (path / "manifest.json").write_text('{"files": {'),
    "another format": lambda path: (path / "manifest.json").write_text(
        json.dumps({**json.loads((path / "manifest.json").read_text()), "format_version": 1})
    ),
    "nonsense": lambda path: (path / "manifest.json").write_text('{"format_version": 2, "files": {"x": 3}}'),
    "empty": lambda path: (shutil.rmtree(path), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_torn_checkpoint_is_never_chosen(tmp_path, damage):
    good, bad = write(tmp_path, 1), write(tmp_path, 2)
    assert newest(tmp_path) == bad
    DAMAGE[damage](bad)
    assert not is_whole(bad) and newest(tmp_path) == good
    write(tmp_path, 2)  # the run comes by again
    assert newest(tmp_path) == bad and not list(tmp_path.glob(".tmp-*"))


def test_none_is_chosen_where_none_is_whole(tmp_path):
    assert newest(tmp_path) is None and newest(tmp_path / "missing") is None
    cut(write(tmp_path, 1))
    assert newest(tmp_path) is None


def test_the_last_and_the_best_are_kept(tmp_path):
    scores = {1: 5.0, 2: 3.0, 3: 4.0, 4: None, 5: 6.0, 6: 7.0}
    for step, score in scores.items():
        write(tmp_path, step, score=score, keep_last=2, keep_best=1)
    assert [p.name for p in sorted(tmp_path.glob("step-*"))] == [f"step-{n:09d}" for n in (2, 5, 6)]


def test_torn_newer_ones_do_not_push_out_good_ones(tmp_path):
    write(tmp_path, 1)
    cut(write(tmp_path, 9))
    write(tmp_path, 2, keep_last=1, keep_best=0)
    assert newest(tmp_path).name == "step-000000002" and len(list(tmp_path.glob("step-*"))) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("point", [p for p in checkpoint.POINTS if p not in ("renamed", "old ones removed")])
def test_a_failing_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch, number, point):
    good = write(tmp_path, 1)

    def fail(where):
        if where == point:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(checkpoint, "at", fail)
    with pytest.raises(
        CheckpointError, match="step 2 could not be written .*(full|read-only|permission).*intact"
    ):
        write(tmp_path, 2)
    assert is_whole(good) and newest(tmp_path) is not None
    monkeypatch.setattr(checkpoint, "at", lambda where: None)
    write(tmp_path, 3)
    assert newest(tmp_path).name == "step-000000003" and not list(tmp_path.glob(".tmp-*"))


def test_a_file_that_cannot_grow(tmp_path):
    """A real refusal of the system, not a simulated one: files may not grow beyond 8 kB."""
    good = write(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="step 2 could not be written"):
            checkpoint.save(tmp_path, 2, iter([("big", torch.zeros(10_000))]), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert newest(tmp_path) == good


def test_a_model_folder_outlives_a_full_disk(tmp_path, monkeypatch):
    run = tiny_run(codec_folder(tmp_path / "codec"), tmp_path / "run", steps=2)
    run.run()
    run.export(run.out / "model")
    before = {f.name: f.read_bytes() for f in (run.out / "model").iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="model folder .* could not be written"):
            run.export(run.out / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert {f.name: f.read_bytes() for f in (run.out / "model").iterdir()} == before
    assert not (run.out / ".model.tmp").exists()


def test_torn_checkpoints_are_named_when_they_are_passed_over(tmp_path, capsys):
    run = tiny_run(codec_folder(tmp_path / "codec"), tmp_path / "run", steps=8)
    run.run()
    cut(newest(tmp_path / "run" / "checkpoints"))
    again = tiny_run(tmp_path / "codec", tmp_path / "run", steps=8)
    assert again.resume() and again.step == 4
    assert "passed over torn checkpoints: step-000000008" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CheckpointError, match="cannot be written to .* choose another --out"):
        check_writable(tmp_path / "file" / "run")
    with pytest.raises(CheckpointError, match="choose another --out"):
        tiny_run(codec_folder(tmp_path / "codec"), tmp_path / "file" / "run")


# ---- not a number -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return codec_folder(tmp_path_factory.mktemp("codec"))


def poisoned(trainer, steps):
    """From the given steps on the loss is not a number."""
    net = trainer.net

    def forward(*arguments):
        loss = net(*arguments)
        return loss * float("nan") if trainer.step in steps else loss

    trainer.net = forward
    return trainer


def test_a_nan_stops_the_run_and_says_where_to_go_on(codec, tmp_path):
    run = poisoned(tiny_run(codec, tmp_path), {6})
    with pytest.raises(
        RuntimeError, match="loss is nan .* at step 7: lower lr .* last checkpoint is .*000000004"
    ):
        run.run()
    again = tiny_run(codec, tmp_path)
    assert again.resume() and again.step == 4
    again.run()
    assert again.step == 12


def test_a_nan_step_can_be_skipped_and_leaves_no_trace_in_the_weights(codec, tmp_path, capsys):
    run = poisoned(tiny_run(codec, tmp_path, on_nan="skip", steps=8), {6, 7})
    run.run()
    said = capsys.readouterr().out
    assert "at step 7: this step is skipped" in said and "at step 8" in said and run.step == 8
    kept = tiny_run(codec, tmp_path / "short", steps=8)
    kept.progress = lambda: 1.0 if kept.step >= 6 else kept.step / 8
    kept.run()
    for a, b in zip(run.model.parameters(), kept.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_skipping_gives_up_in_the_end(codec, tmp_path):
    run = poisoned(tiny_run(codec, tmp_path, on_nan="skip", steps=100), set(range(2, 100)))
    with pytest.raises(RuntimeError, match="at step 22"):
        run.run()


def test_weights_that_are_not_finite_never_replace_good_ones(codec, tmp_path):
    run = tiny_run(codec, tmp_path)
    run.run()
    with torch.no_grad():
        run.ema.shadow[3][0] = float("inf")
    run.step = 13
    with pytest.raises(CheckpointError, match="ema.* not finite: nothing was saved"):
        run.save()
    assert newest(tmp_path / "checkpoints").name == "step-000000012"
