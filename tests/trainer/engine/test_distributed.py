"""Two processes for real (gloo, CPU): DDP equals one process on the same global batch; FSDP2 trains and saves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from crew import Crew
from distributed_worker import sharded_muon, train
from tiny_run import codec_folder, tiny_run

from mdm_core.pipeline import Pipeline

ROOT = Path(__file__).parents[3]
MUON = {"steps": 6, "save_every": 3, "validate_every": 6, "sheet_every": 6}

ROUNDED = 2e-3  # Muon iterates in bf16: the last bit of a gradient's norm, summed in shards, becomes this


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return codec_folder(tmp_path_factory.mktemp("codec"))


def launch(kind, codec, out, options, world=2) -> dict:
    """Train in `world` processes; what the first of them found."""
    return Crew(world, train, kind, codec, out, options).results()[0]


@pytest.mark.parametrize("one_machine", [False, True])
def test_muon_shares_its_work_and_changes_nothing(one_machine):
    """Three processes, so that rows and matrices do not divide evenly; on one machine whole matrices are shared too."""
    differences, moved = Crew(3, sharded_muon, one_machine).results()[0]
    assert max(differences) < 1e-2 * min(moved)  # bf16 products in other batches


def alone(codec, out, **options):
    """One process that sees the same global batch, as two micro-batches a step."""
    run = tiny_run(codec, out, accumulate=2, **options)
    losses, gradient = [], run.gradient
    run.gradient = lambda: losses.append(gradient()) or losses[-1]
    run.run()
    return run, losses


@pytest.fixture(scope="module")
def reference(codec, tmp_path_factory):
    return alone(codec, tmp_path_factory.mktemp("alone"), **MUON)


def assert_equal_runs(record, reference, tolerance):
    run, losses = reference
    assert record["world"] == 2
    assert torch.allclose(torch.tensor(record["losses"]), torch.tensor(losses), rtol=1e-5)
    for name, p in run.model.named_parameters():
        there = torch.tensor(record["weights"][name])
        assert torch.allclose(there, p.detach(), rtol=1e-4, atol=tolerance), name


def test_accelerate_launches_the_command(tmp_path):
    """As the README says it, on two processes of this machine (`--multi_gpu` stands in for the GPUs that it finds)."""
    arguments = (
        "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0 "
        "-m trainer train emoji_cpu --device cpu --threads 1 minutes=0 steps=2 log_every=1 data.batch_size=2 "
        "model.width=64 model.depth=1 model.heads=2 model.kv_heads=2 model.ffn=64 model.token_depth=1"
    ).split()
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *arguments, "--out", str(tmp_path / "run")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    log = json.loads((tmp_path / "run" / "log.json").read_text())
    # two samples in each of two processes
    assert [(e["step"], e["samples"]) for e in log] == [
        (1, 4),
        (2, 8),
    ]
    assert done.stdout.count("wrote ") == 1  # one of them speaks
    assert Pipeline.from_pretrained(tmp_path / "run" / "model").config.card["samples"] == 8


def test_two_processes_equal_one_on_the_same_global_batch(codec, reference, tmp_path):
    record = launch("ddp", codec, tmp_path / "run", MUON)
    assert record["kinds"] == ["Parameter"]
    assert_equal_runs(record, reference, 1e-5)
    assert (tmp_path / "run" / "sheets" / "step-000000006.webp").stat().st_size > 500


def test_sharded_training_equals_one_process_and_opens_in_the_pipeline(codec, reference, tmp_path):
    record = launch("fsdp", codec, tmp_path / "run", MUON)
    assert any("DTensor" in kind for kind in record["kinds"]), record["kinds"]
    assert_equal_runs(record, reference, ROUNDED)
    pipe = Pipeline.from_pretrained(tmp_path / "run" / "model")
    assert pipe.generate("3 cats", steps=2).image.size == (32, 32)
    # its checkpoint goes on in one process
    run = tiny_run(codec, tmp_path / "run", accumulate=2, **{**MUON, "steps": 8})
    assert run.resume() and run.step == 6
    for (name, p), (_, q) in zip(
        run.model.named_parameters(), reference[0].model.named_parameters(), strict=True
    ):
        assert torch.allclose(p, q, rtol=1e-4, atol=ROUNDED), name
    run.run()
    assert run.step == 8


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_weights_that_hold_guidance_train_alike_in_two_processes(codec, tmp_path, kind):
    options = {**MUON, "guided": True, "validate_every": 1000, "sheet_every": 0}
    one = alone(codec, tmp_path / "alone", **options)
    assert one[0].model.guide.shift.weight.abs().max() > 0
    assert_equal_runs(launch(kind, codec, tmp_path / kind, options), one, ROUNDED)


def test_a_sharded_run_resumes_exactly(codec, tmp_path):
    options = {
        **MUON,
        "steps": 6,
        "checkpointing": True,
        "accumulate": 2,
        "validate_every": 1000,
        "sheet_every": 0,
    }
    straight = launch("fsdp", codec, tmp_path / "straight", options)
    launch("fsdp", codec, tmp_path / "cut", {**options, "steps": 3, "schedule": "trapezoid", "decay": 0.0})
    whole = launch("fsdp", codec, tmp_path / "whole", {**options, "decay": 0.0})
    second = launch("fsdp", codec, tmp_path / "cut", {**options, "decay": 0.0})
    assert second["weights"] == whole["weights"] != straight["weights"]
