"""What a run says: the log, the bar, skipped files, sheets, TensorBoard, the command line."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import TinyData, codec_folder, tiny_run

from mdm_core.families.chisel.config import ModelConfig
from mdm_core.pipeline import Pipeline
from trainer import command
from trainer.data.own import OwnDataConfig
from trainer.engine import train
from trainer.engine.run import DivergedError
from trainer.recipes.recipe import Recipe, known

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return codec_folder(tmp_path_factory.mktemp("codec"))


def test_sheets_are_drawn_with_the_samplers_own_settings(codec, tmp_path, monkeypatch):
    seen = {}
    generate = Pipeline.generate_batch

    def listen(self, prompts, seeds, **settings):
        seen.update(prompts=prompts, settings=settings, defaults=self.config.sample, grid=self.grid)
        return generate(self, prompts, seeds, **settings)

    monkeypatch.setattr(Pipeline, "generate_batch", listen)
    run = tiny_run(codec, tmp_path, steps=2, sheet_every=2)
    run.run()
    assert (tmp_path / "sheets" / "step-000000002.webp").stat().st_size > 500
    exported = tmp_path / "model"
    run.export(exported)
    assert seen["settings"] == {} and seen["defaults"] == Pipeline.from_pretrained(exported).config.sample
    assert len(seen["prompts"]) == 10 and seen["grid"] == (4, 4)


def test_a_sheet_of_a_small_folder_is_filled_with_prompts_of_training(tmp_path):
    class Few:
        def __init__(self, *captions):
            self.captions = lambda count: iter(captions)

    run = tiny_run(codec_folder(tmp_path / "codec"), tmp_path / "run")
    run.reporter.validation, run.source = (
        Few("a dog", "a dog", " ", "x" * 600),
        Few("a cat", "a dog", "two cats"),
    )
    assert run.reporter._prompts(16) == ["a dog", "a cat", "two cats"]
    assert run.reporter._prompts(1) == ["a dog"]


def test_validation_is_repeatable_and_disturbs_nothing(codec, tmp_path):
    run = tiny_run(codec, tmp_path / "a", validate_every=3, steps=6)
    run.run()
    assert run.reporter.validate() == run.reporter.validate()
    other = tiny_run(codec, tmp_path / "b", steps=6)
    other.run()
    for a, b in zip(run.model.parameters(), other.model.parameters(), strict=True):
        assert a.equal(b)
    found = [e for e in run.log if "masked_bits" in e]
    assert [e["step"] for e in found] == [3, 6]
    assert all(0 < e["masked_bits"] < 10 and 0 < e["flipped_bits"] < 10 for e in found)
    assert run.score == found[-1]["masked_bits"]


def test_skipped_files_are_named_once_and_counted(codec, tmp_path, capsys):
    run = tiny_run(codec, tmp_path)
    for names in [("a.png: cut short",), ("a.png: cut short", "b.png: no picture"), ()]:
        run.reporter.skipped(names)
    assert capsys.readouterr().out == "skipped a.png: cut short\nskipped b.png: no picture\n"
    assert (tmp_path / "skipped.txt").read_text().splitlines() == ["a.png: cut short", "b.png: no picture"]
    run.run()
    assert run.log[-1]["skipped_files"] == 2
    again = tiny_run(codec, tmp_path, steps=20)
    again.resume()
    again.reporter.start()  # after a restart they are still counted, and not listed twice
    again.reporter.skipped(("b.png: no picture", "c.png: cut short"))
    assert capsys.readouterr().out.endswith("skipped c.png: cut short\n")
    assert [line[0] for line in (tmp_path / "skipped.txt").read_text().splitlines()] == ["a", "b", "c"]
    again.run()
    assert again.log[-1]["skipped_files"] == 3


def test_a_bar_shows_loss_speed_and_time_left(codec, tmp_path, monkeypatch, capsys):
    run = tiny_run(codec, tmp_path)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    run.run()
    said = capsys.readouterr().err
    assert "step 12, loss" in said and "samples/s" in said and "left 00:" in said and "100.0%" in said


def test_the_last_steps_are_told_of_even_if_no_line_was_due(codec, tmp_path, capsys):
    run = tiny_run(codec, tmp_path, steps=7, log_every=5)
    run.run()
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"step 7 after \d+\.\d minutes: loss \d+\.\d{4} over the last 2 steps", last)


def test_figures_reach_tensorboard(codec, tmp_path):
    run = tiny_run(codec, tmp_path, tensorboard=True, log_every=3)
    run.run()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next(tmp_path.rglob("events.*")).parent)).Reload()
    assert [e.step for e in events.Scalars("loss")] == [3, 6, 9, 12]
    assert events.Scalars("loss")[-1].value == pytest.approx(run.log[-1]["loss"], abs=1e-3)
    assert events.Scalars("lr_0")[-1].value > 0


def test_the_command_line_trains_resumes_and_exports(tmp_path, monkeypatch, capsys):
    """As a student would type it, with a recipe that is small enough for a test."""
    codec = codec_folder(tmp_path / "codec")
    recipe = tiny_run(codec, tmp_path / "unused").recipe
    monkeypatch.setattr(train, "load_recipe", lambda name, overrides: recipe)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    command = ["tiny", "--codec", str(codec), "--out", str(tmp_path / "run"), "--device", "cpu"]
    train.main([*command, "--stop-after", "0"])
    train.main(command)
    said = capsys.readouterr().out
    assert "resumed" not in said.split("wrote")[0] and f"wrote {tmp_path / 'run' / 'model'}" in said
    assert len(json.loads((tmp_path / "run" / "log.json").read_text())) == 2
    train.main(command)
    assert "resumed at step 12" in capsys.readouterr().out
    pipe = Pipeline.from_pretrained(tmp_path / "run" / "model")
    assert pipe.config.card["steps"] == 12 and pipe.config.card["objects"] == ["cat"]


def test_help_and_errors_are_for_people(tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "trainer", "train", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    said = run("--help").stdout
    for word in ("emoji_cpu", "torchrun", "--init", "trainer plan", "field=value", "--stop-after"):
        assert word in said
    for recipe in known():
        assert recipe in said
    parts = {"model": ModelConfig, "data": OwnDataConfig}
    for name in set(re.findall(r"\b([a-z_.]+)=\w", said)) - {
        "field"
    }:  # each field that the help names is one
        part, _, field = name.rpartition(".")
        assert field in {f.name for f in dataclasses.fields(parts[part] if part else Recipe)}, name
    wrong = run("nothing")
    assert wrong.returncode == 2 and "error: there is no recipe 'nothing'" in wrong.stderr
    assert wrong.stderr.strip().endswith("there are " + ", ".join(known())) and "recipe" not in known()
    assert "Traceback" not in wrong.stderr
    absent = run("emoji_cpu", "--device", "nowhere", "--out", str(tmp_path))
    assert absent.stderr.startswith("error: the device 'nowhere' cannot be used here; try cpu (")


@pytest.mark.parametrize(
    "failure, said",
    [
        (DivergedError("the loss is nan at step 3: lower lr"), "error: the loss is nan at step 3"),
        (OSError(28, "No space left on device", "runs/x/log.json"), "error: .*No space left.*log.json"),
        (
            torch.OutOfMemoryError("CUDA out of memory.\nmuch text"),
            "lower data.batch_size .*out of memory.\\)$",
        ),
        (KeyboardInterrupt(), "stopped at once"),
    ],
)
def test_what_a_person_can_put_right_is_one_sentence(monkeypatch, failure, said):
    def fails():
        raise failure

    monkeypatch.setattr(train, "main", fails)
    with pytest.raises(SystemExit) as left:
        command.run_command(train.main, **train.TOLD)
    assert re.search(said, left.value.code) and "\n" not in left.value.code


SIGNALLED = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from trainer.data.own import OwnDataConfig
from trainer.engine import train
from tiny_run import TinyData, tiny_recipe
recipe = tiny_recipe(steps=10**6, data=TinyData(workers=2), save_every=10**6, log_every=5)
train.load_recipe = lambda *_: recipe
train.main(["tiny", "--codec", {codec!r}, "--out", {out!r}, "--device", "cpu", "--threads", "1"])
"""


def test_a_termination_signal_ends_a_run_with_workers_cleanly(codec, tmp_path):
    out = tmp_path / "run"
    code = SIGNALLED.format(tests=str(ROOT / "tests/helpers"), root=str(ROOT), codec=str(codec), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    while "'step': 5" not in (line := process.stdout.readline()):
        assert line, "the run ended by itself"
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and f"wrote {out / 'model'}" in said
    again = tiny_run(codec, out, steps=10**6)
    assert again.resume() and again.step >= 5
    assert Pipeline.from_pretrained(out / "model").config.card["steps"] == again.step


def test_a_signal_saves_before_leaving(codec, tmp_path):
    run = tiny_run(codec, tmp_path, steps=100, data=TinyData())
    draw = run.draw

    def interrupted():
        run.stop = run.step == 6
        return draw()

    run.draw = interrupted
    run.run()
    again = tiny_run(codec, tmp_path, steps=100)
    assert again.resume() and again.step == 7
