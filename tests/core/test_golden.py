"""Numbers stay put and old files load: losses and token grids of fixed seeds, a checkpoint and a trajectory on file."""

import json
import shutil
from pathlib import Path

import make_golden as make
import numpy as np
import pytest
import torch
from tiny_run import codec_folder, tiny_run
from tiny_tokenizer import tiny_tokenizer

from mdm_core.diffusion.trajectory import Trajectory
from trainer.engine import checkpoint
from trainer.engine.state import folder, split

GOLDEN = Path(__file__).parents[1] / "golden"
NUMBERS = json.loads((GOLDEN / "numbers.json").read_text())
ROUNDED = {"muon": 2e-3, "adamw": 1e-4}  # Muon's bf16 products are rounded differently by another CPU


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return codec_folder(tmp_path_factory.mktemp("codec"))


@pytest.mark.parametrize("kind", make.KINDS)
def test_losses_of_fixed_seeds(codec, tmp_path, kind):
    run = tiny_run(codec, tmp_path, **make.OPTIONS, **make.KINDS[kind])
    run.run()
    found, expected = make.losses(run.log), NUMBERS["losses"][kind]
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=ROUNDED[kind]), name


def test_token_grids_of_fixed_seeds():
    found = {edit: run.tokens.tolist() for edit, run in make.generated().items()}
    assert found == NUMBERS["tokens"]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("checkpoint-*")), ids=lambda p: p.name)
def test_a_checkpoint_of_each_version_goes_on(codec, tmp_path, path):
    kept = folder(tmp_path) / "step-000000004"
    shutil.copytree(path, kept)
    assert checkpoint.newest(folder(tmp_path)) == kept
    run = tiny_run(codec, tmp_path, **make.OPTIONS)
    assert run.resume() and (run.step, run.samples) == (4, 12)
    reader = checkpoint.Reader(kept)
    tensors = dict(split(run.parts)[0])
    assert set(reader) == set(tensors) and all(torch.equal(reader[k], v) for k, v in tensors.items())
    run.run()
    expected = NUMBERS["losses"]["muon"]["loss"]  # as if it had never been cut
    assert [e["loss"] for e in run.log] == pytest.approx(expected, rel=ROUNDED["muon"])


def test_a_checkpoint_of_an_image_tokenizer_of_before_goes_on(tmp_path):
    """Written when its training had a loop of its own; the losses are those of that loop."""
    kept = folder(tmp_path) / "step-000000004"
    shutil.copytree(GOLDEN / "tokenizer-1", kept)
    run = tiny_tokenizer(tmp_path / "pictures", tmp_path)
    assert run.resume() and (run.step, run.samples, run.position) == (4, 12, 12)
    run.run()
    assert [e["loss"] for e in run.log] == pytest.approx(NUMBERS["losses"]["tokenizer"], rel=1e-3)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("trajectory-*")), ids=lambda p: p.name)
def test_a_trajectory_of_each_version_loads(path, tmp_path):
    run = Trajectory.load(path)
    assert run.prompt == make.PROMPT and run.tokens.tolist() == NUMBERS["saved"]
    run.save(tmp_path / "again.json")
    again = Trajectory.load(tmp_path / "again.json")
    assert len(again.records) == len(run.records) > 6
    for a, b in zip(again.records, run.records, strict=True):
        assert np.array_equal(a.tokens, b.tokens) and np.array_equal(a.confidence, b.confidence)


def test_every_version_that_is_written_is_on_file():
    assert (GOLDEN / f"checkpoint-{checkpoint.FORMAT_VERSION}").is_dir()
    assert json.loads(make.TRAJECTORY.read_text())["format_version"] == 1
