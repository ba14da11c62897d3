"""What the forward pass spares on a CPU changes no number that anybody sees."""

import itertools

import numpy as np
import pytest
import torch

from mdm_core import forward
from mdm_core.device import precision
from mdm_core.families.chisel import backbone
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.ops import sample_step
from mdm_core.settings import EDITS, ORDERS


def records(pipe, **settings):
    locked = np.zeros((4, 4), bool)
    locked[3, 3] = True
    start = np.full((4, 4), 32)
    start[3] = 7
    return list(pipe.stream("a cat", seed=5, tokens=start, locked=locked, steps=5, polish=2, **settings))


@pytest.mark.parametrize("order, edit", list(itertools.product(ORDERS, EDITS)))
def test_records_are_those_of_a_token_drawn_everywhere(tiny, monkeypatch, order, edit):
    settings = {"order": order, "edit": edit, "edit_threshold": 0.05, "edit_budget": 0.4}
    spared = records(tiny, **settings)
    asked = []

    def everywhere(*args, draw=None, **more):
        asked.append(int(draw.sum()))
        return sample_step(*args, **more)

    monkeypatch.setattr(forward, "sample_step", everywhere)
    for a, b in zip(spared, records(tiny, **settings), strict=True):
        for name in ("tokens", "committed", "edited", "confidence", "entropy"):
            assert np.array_equal(getattr(a, name), getattr(b, name)), (a.step, name)
    # every masked cell, and no other
    masked = [int((r.tokens == 32).sum()) for r in spared[:-1]]
    assert asked == masked and masked[0] == 12


def test_products_are_those_that_autocast_would_have_made(tiny, monkeypatch):
    """On a CPU that multiplies bf16, and here on any: the weights are narrowed once, to the same bits."""
    monkeypatch.setattr(backbone, "fast_dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr(backbone, "precision", lambda *_: torch.autocast("cpu", torch.bfloat16))
    model = tiny.backbone.model
    ours = TransformerBackbone(model)
    g = torch.Generator().manual_seed(0)
    zt = torch.randint(0, 33, (2, 16), generator=g)
    text = torch.randint(0, 300, (2, 12), generator=g)

    def as_ever():
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return model(zt, text).float()

    assert torch.equal(ours.hidden(zt, text, 0.0), as_ever())
    assert ours._products() is ours._products() is not model
    assert ours._products().blocks[0].ffn.down.weight.dtype == torch.bfloat16
    assert ours._products().norm.weight.data_ptr() == model.norm.weight.data_ptr()
    before = model.blocks[0].ffn.down.weight.detach().clone()
    with torch.no_grad():
        model.blocks[0].ffn.down.weight.mul_(2)
    try:
        assert torch.equal(ours.hidden(zt, text, 0.0), as_ever())
    finally:
        with torch.no_grad():
            model.blocks[0].ffn.down.weight.copy_(before)


def test_where_fp32_is_fast_the_model_itself_runs(tiny, monkeypatch):
    monkeypatch.setattr(backbone, "fast_dtype", lambda device: torch.float32)
    monkeypatch.setattr(backbone, "precision", lambda *_: precision(torch.device("meta"), torch.float16))
    assert TransformerBackbone(tiny.backbone.model)._products() is tiny.backbone.model
