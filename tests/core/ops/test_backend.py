"""Which backend the fused operators use: chosen by the device, and said once at the start of every program."""

import pytest
import torch
from tiny_model import build_tiny

from mdm_core import ops
from mdm_core.__main__ import main
from mdm_core.ops import backend as chooser
from mdm_core.pipeline import Pipeline
from ui import launch


@pytest.mark.parametrize(
    "device, installed, backend",
    [("cuda", True, "triton"), ("cuda", False, "torch"), ("cpu", True, "torch"), ("cpu", False, "torch")],
)
def test_the_backend_follows_the_device(device, installed, backend, monkeypatch):
    monkeypatch.setattr(chooser, "_triton_installed", lambda: installed)
    assert ops.choose_backend("auto", torch.device(device)) == backend
    for asked in ("reference", "torch", "triton"):
        assert ops.choose_backend(asked, torch.device(device)) == asked


def test_the_studio_says_it(tiny):
    line = launch.backend_line(tiny)
    assert "\n" not in line and "fused operators: torch backend on cpu" in line


def test_the_command_line_says_it_once(tmp_path, capsys):
    config, codec, weights, text = build_tiny()
    Pipeline.save(tmp_path / "model", codec, weights, text, config)
    assert main(["a cat", "--model", str(tmp_path / "model"), "--out", str(tmp_path / "x.png")]) == 0
    said = "".join(capsys.readouterr())
    assert said.count("fused operators: torch backend on cpu") == 1
