"""The recipes that steps are measured with, on random tokens; plans read the records. None learns anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from mdm_core.families.chisel.config import ModelConfig
from trainer.data.source import Batch
from trainer.recipes.recipe import Recipe

CPU_LEVELS = (16, 16, 16, 16)  # V = 65,536


@dataclass(frozen=True)
class RandomTokens:
    """Random tokens and prompts, made once."""

    batch_size: int = 16
    workers: int = 0
    seed: int = 0
    vocab_size: int = 16384
    length: int = 256
    text_length: int = 40

    def open(self, text: Any, split: str = "train", rank: int = 0, world: int = 1) -> RandomTokens:
        return self

    def batch(self, index: int) -> Batch:
        g = torch.Generator().manual_seed(self.seed)
        tokens = torch.randint(0, self.vocab_size, (self.batch_size, self.length), generator=g)
        return Batch(torch.randint(1, 300, (self.batch_size, self.text_length), generator=g), tokens=tokens)

    def captions(self, count: int) -> Iterator[str]:
        return iter(["a random prompt"] * min(count, 8))

    def card(self) -> dict[str, Any]:
        return {}


def cpu_recipe(batch: int) -> Recipe:
    """6 M parameters in the body, V = 65,536: what a small machine would train on a large vocabulary."""
    model = ModelConfig(
        vocab_size=65536,
        code_levels=CPU_LEVELS,
        text_vocab_size=512,
        width=256,
        depth=6,
        heads=4,
        kv_heads=4,
        ffn=704,
        token_width=192,
        token_heads=3,
        token_depth=1,
    )
    return Recipe(model=model, data=RandomTokens(batch_size=batch, vocab_size=65536), validate_every=10**9)


def gpu_recipe(batch: int) -> Recipe:
    """300 M parameters, V = 16,384."""
    model = ModelConfig(text_vocab_size=512, width=1024, depth=23, heads=8, kv_heads=8, ffn=2816)
    return Recipe(model=model, data=RandomTokens(batch_size=batch), compile=True, validate_every=10**9)
