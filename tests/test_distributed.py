"""Two processes for real (gloo, CPU): DDP equals one process on the same global batch; FSDP2 trains and saves."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import codec_folder, tiny_run

from mdm_core.pipeline import Pipeline

HERE = Path(__file__).parent
MUON = {"steps": 6, "save_every": 3, "validate_every": 6, "sheet_every": 6}

ROUNDED = 2e-3  # Muon iterates in bf16: the last bit of a gradient's norm, summed in shards, becomes this


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    return codec_folder(tmp_path_factory.mktemp("codec"))


def launch(kind, codec, out, options, world=2) -> dict:
    """Run the worker in `world` processes, as `accelerate launch` would, and return what it recorded."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true",
        "GLOO_SOCKET_IFNAME": "lo",
    }  # fmt: skip
    arguments = [sys.executable, HERE / "distributed_worker.py", kind, codec, out, json.dumps(options)]
    processes = [
        subprocess.Popen(
            arguments, env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip
    for process in processes:
        said, _ = process.communicate(timeout=180)
        assert process.returncode == 0, said
    return json.loads((Path(out) / "record.json").read_text())


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
    launch("fsdp", codec, tmp_path / "whole", {**options, "decay": 0.0})
    second = launch("fsdp", codec, tmp_path / "cut", {**options, "decay": 0.0})
    whole = json.loads((tmp_path / "whole" / "record.json").read_text())
    assert second["weights"] == whole["weights"] != straight["weights"]
