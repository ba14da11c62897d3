"""No [L, V] tensor exists in a sampler run: every tensor that any operation returns is measured."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig, PipelineConfig
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.ops import sample_step
from mdm_core.pipeline import Pipeline
from mdm_core.settings import EDITS, ORDERS

LEVELS = (8, 8, 8, 8)  # V = 4096
L, V = 256, 4096


class Largest(TorchDispatchMode):
    """The largest tensor that an operation returned while the mode was on."""

    def __init__(self):
        super().__init__()
        self.count, self.what = 0, ""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.numel() > self.count:
                self.count, self.what = tensor.numel(), f"{list(tensor.shape)} from {function}"
        return result


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    """The real grid with a real vocabulary; all else is small, so that [L, V] would stand out."""
    torch.manual_seed(0)
    config = PipelineConfig(
        tokenizer=ImageTokenizerConfig(
            levels=LEVELS, encoder_width=16, decoder_width=8, decoder_depth=1, decoder_pixels=4
        ),
        model=ModelConfig(
            vocab_size=V,
            code_levels=LEVELS,
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
    model = MaskedDiffusionTransformer(config.model).eval()
    text = TextTokenizer.train(["a cat on a red background", "two dogs"] * 3, vocab_size=300, length=12)
    return Pipeline(ImageTokenizer(config.tokenizer).eval(), text, TransformerBackbone(model), config)


def measured(pipe: Pipeline, **settings) -> Largest:
    with Largest() as largest:
        records = list(pipe.stream("a cat", seed=3, **settings))
    assert (records[-1].tokens < V).all()  # the run did its work
    return largest


@pytest.mark.parametrize("order, edit", list(itertools.product(ORDERS, EDITS)))
def test_no_run_holds_all_logits(pipe, order, edit):
    largest = measured(pipe, order=order, edit=edit, steps=2, polish=1, guidance=2.0)
    assert largest.count < L * V / 2, largest.what


@pytest.mark.parametrize("settings", [{"top_k": 50}, {"top_p": 0.9}, {"top_k": 300, "top_p": 0.5}])
def test_nor_does_a_run_within_top_k_or_top_p(pipe, settings):
    largest = measured(pipe, steps=2, polish=1, guidance=2.0, **settings)
    assert largest.count < L * V / 2, largest.what


def test_nor_does_repainting_or_healing(pipe):
    tokens = np.arange(L).reshape(16, 16)
    half = np.zeros((16, 16), bool)
    half[:8] = True
    for run in (
        lambda: pipe.repaint(tokens, half, "a cat", steps=2),
        lambda: pipe.heal(tokens, "a cat", polish=2),
    ):
        with Largest() as largest:
            run()
        assert largest.count < L * V / 2, largest.what


def test_the_measure_would_see_them():
    hidden, weight = torch.randn(L, 8), torch.randn(V, 8)
    with Largest() as largest:
        sample_step(hidden, weight, torch.full((L,), V), temperature=1.0, seed=0, step=0, backend="reference")
    assert largest.count >= L * V
