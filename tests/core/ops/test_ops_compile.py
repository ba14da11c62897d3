"""Every Triton kernel compiles, keeps its numbers in registers and fits into shared memory; that needs no GPU."""

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


def told(*options):
    """Lines that `tests.compile_kernels` prints."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    process = subprocess.run(
        [sys.executable, "-m", "tests.compile_kernels", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout.splitlines()


def test_every_kernel_compiles_and_stays_in_registers():
    lines = told()
    assert len(lines) > 50
    for line in lines:
        name = re.match(r"(.+) (?:bf16|fp32):", line)[1]
        assert int(re.search(r"STACK:(\d+)$", line).group(1)) <= SPILLS.get(name, 32), line


def test_products_and_attention_fit_into_the_shared_memory_of_several_cards():
    """As the compiler shares it out, which is never more than was foreseen."""
    lines = told("--cards")
    assert (
        len(lines) >= 3 * 11 and len({line.split(" sample")[0] for line in lines if " sample" in line}) == 3
    )
    for line in lines:
        taken, foreseen, available = map(int, line.rsplit(":", 1)[1].split())
        assert taken <= foreseen <= available, line


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
