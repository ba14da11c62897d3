"""Shared by all tests: a tiny pipeline with random weights, and one thread setting."""

from __future__ import annotations

import os

# Waiting threads sleep instead of spinning, so that two cores can also serve a browser. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is first imported, by whichever test comes first

from tiny_model import build_tiny

from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.pipeline import Pipeline


def pytest_report_header() -> str:
    """What the numbers of this run were computed on: products differ between processors."""
    able = {"amx": "_is_amx_tile_supported", "amx_fp16": "_is_amx_fp16_supported"}
    able |= {"avx512_bf16": "_is_avx512_bf16_supported"}
    has = {name: getattr(torch.cpu, test, lambda: None)() for name, test in able.items()}
    told = ", ".join(
        f"{name} {'unknown' if yes is None else 'yes' if yes else 'no'}" for name, yes in has.items()
    )
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "none")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return (
        f"PyTorch {torch.__version__} on {torch.backends.cpu.get_cpu_capability()}, {told}; "
        f"oneDNN's limit: {limit}; {torch.get_num_threads()} threads; GPU: {gpu}"
    )


@pytest.fixture(scope="session")
def tiny() -> Pipeline:
    config, codec, model, text = build_tiny()
    return Pipeline(codec, text, TransformerBackbone(model), config)
