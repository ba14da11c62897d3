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

from mdm_core.config import ImageTokenizerConfig, ModelConfig, PipelineConfig
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.pipeline import Pipeline, TransformerBackbone

TINY_LEVELS = (4, 4, 2)  # V = 32


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


def tiny_config() -> PipelineConfig:
    """A 4x4 grid over 32 px with a vocabulary of 32: small enough for hundreds of runs a second."""
    return PipelineConfig(
        tokenizer=ImageTokenizerConfig(
            image_size=32,
            levels=TINY_LEVELS,
            encoder_width=32,
            decoder_width=16,
            decoder_depth=1,
            decoder_pixels=4,
        ),
        model=ModelConfig(
            vocab_size=32,
            code_levels=TINY_LEVELS,
            grid=4,
            text_vocab_size=320,
            text_length=12,
            width=32,
            depth=1,
            heads=2,
            kv_heads=1,
            ffn=32,
            token_width=32,
            token_depth=1,
            token_heads=2,
            token_ffn=32,
        ),
    )


def build_tiny(
    seed: int = 0,
) -> tuple[PipelineConfig, ImageTokenizer, MaskedDiffusionTransformer, TextTokenizer]:
    torch.manual_seed(seed)
    config = tiny_config()
    model = MaskedDiffusionTransformer(config.model).eval()
    with torch.no_grad():
        for p in model.parameters():  # zero-initialised outputs would make every prompt and token alike
            if p.ndim == 2:
                p.add_(torch.randn_like(p) * 0.15)
        model.head.weight.mul_(6)
    text = TextTokenizer.train(["a cat on a red background", "two dogs"] * 3, vocab_size=300, length=12)
    return config, ImageTokenizer(config.tokenizer).eval(), model, text


@pytest.fixture(scope="session")
def tiny() -> Pipeline:
    config, codec, model, text = build_tiny()
    return Pipeline(codec, text, TransformerBackbone(model), config)
