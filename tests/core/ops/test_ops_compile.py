"""Every Triton kernel compiles for a Hopper GPU, and keeps its numbers in registers; no GPU is needed for that."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).parents[3]
# Bytes a thread. The tile of what Muon adds is read while that of the product is held, and a tile of logits that is
# stored needs its addresses.
SPILLS = {"symmetric add=True": 512, "sample stretch, logits stored": 128}


def test_every_kernel_compiles_and_stays_in_registers():
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    told = subprocess.run(
        [sys.executable, "-m", "tests.compile_kernels"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.returncode == 0, told.stderr[-2000:]
    lines = told.stdout.splitlines()
    assert len(lines) > 50
    for line in lines:
        name = re.match(r"(.+) (?:bf16|fp32):", line)[1]
        assert int(re.search(r"STACK:(\d+)$", line).group(1)) <= SPILLS.get(name, 32), line


def test_no_kernel_is_forgotten():
    from tests.compile_kernels import variants

    listed = {(each.kernel.fn.__module__, each.kernel.fn.__name__) for each in variants()}
    written = {
        (".".join(path.relative_to(ROOT).with_suffix("").parts), name)
        for top in ("mdm_core", "trainer")
        for path in (ROOT / top).rglob("*_triton.py")
        for name in re.findall(r"^@triton\.jit[^\n]*\ndef (\w+_kernel)\(", path.read_text(), re.M)
    }
    assert listed == written
