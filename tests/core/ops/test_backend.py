"""Which backend the fused operators use: chosen by the device, and said once at the start of every program."""

import subprocess
import sys
from pathlib import Path

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
    monkeypatch.setattr(chooser, "triton_installed", lambda: installed)
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


def test_the_compiler_is_told_as_pytorch_tells_it():
    def theirs():
        return 1

    def ours():
        return 1

    assert vars(chooser.constant_result(ours)) == vars(torch.compiler.assume_constant_result(theirs)) != {}


@pytest.mark.parametrize("name", ["mdm_core", "mdm_core.pipeline", "mdm_core.explain.outlook"])
def test_who_looks_at_pictures_does_not_wait_for_the_compiler(name):
    heavy = ["torch._dynamo", "torch._inductor", "triton", "sympy"]
    code = f"import sys, {name}; print([m for m in {heavy} if m in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.stdout.strip() == "[]", told.stdout + told.stderr[-2000:]


def test_a_compiled_program_does_not_outlive_the_kernels_in_it(monkeypatch, tmp_path):
    """It is kept under its operators' names: they change with the file of the kernels, and are plain without them."""

    def double(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    file, names = tmp_path / "kernels.py", []
    for traced, text in ((True, "one"), (True, "other"), (False, "one")):
        file.write_text(text)
        monkeypatch.setattr(chooser, "traces_kernels", lambda traced=traced: traced)
        made = chooser.operator("chisel_test::double", file)(double)
        assert made(torch.ones(2)).tolist() == [2.0, 2.0]
        names.append(made._qualname)
    assert len(set(names)) == 3 and names[2] == "chisel_test::double"
    assert all(name.startswith("chisel_test::double_") for name in names[:2])
