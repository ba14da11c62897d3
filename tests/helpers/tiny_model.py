"""A tiny model with random weights: small enough for hundreds of runs a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import torch

from mdm_core import device
from mdm_core.families.chisel import backbone
from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig, PipelineConfig
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer

TINY_LEVELS = (4, 4, 2)  # V = 32


def tiny_config(grid: int = 4) -> PipelineConfig:
    """A 4x4 grid over 32 px with a vocabulary of 32: small enough for hundreds of runs a second."""
    return PipelineConfig(
        tokenizer=ImageTokenizerConfig(
            image_size=8 * grid,
            levels=TINY_LEVELS,
            encoder_width=32,
            decoder_width=16,
            decoder_depth=1,
            decoder_pixels=4,
        ),
        model=ModelConfig(
            vocab_size=32,
            code_levels=TINY_LEVELS,
            grid=grid,
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
    grid: int = 4,
) -> tuple[PipelineConfig, ImageTokenizer, MaskedDiffusionTransformer, TextTokenizer]:
    torch.manual_seed(seed)
    config = tiny_config(grid)
    model = MaskedDiffusionTransformer(config.model).eval()
    with torch.no_grad():
        for p in model.parameters():  # zero-initialised outputs would make every prompt and token alike
            if p.ndim == 2:
                p.add_(torch.randn_like(p) * 0.15)
        model.head.weight.mul_(6)
    text = TextTokenizer.train(["a cat on a red background", "two dogs"] * 3, vocab_size=300, length=12)
    return config, ImageTokenizer(config.tokenizer).eval(), model, text


@contextmanager
def fp32_products() -> Iterator[None]:
    """Machines that are fast in bf16 round logits so coarsely that they draw other tokens than others; not in here."""
    fp32 = mock.Mock(return_value=torch.float32)
    with mock.patch.object(device, "fast_dtype", fp32), mock.patch.object(backbone, "fast_dtype", fp32):
        yield
