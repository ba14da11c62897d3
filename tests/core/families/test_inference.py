"""The model as a GPU samples with it is the model; here in fp32, its kernels interpreted where there is no GPU."""

import dataclasses

import pytest
import torch
from tiny_model import build_tiny

from mdm_core.families.chisel.inference import InferenceModel, stamp
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def guided(model, zt, text, g):
    if g is None:
        return model(zt, text)
    drop = torch.arange(2 * len(zt), device=DEVICE) >= len(zt)
    h = model(zt.repeat(2, 1), text.repeat(2, 1), drop)
    return (1 + g) * h[: len(zt)] - g * h[len(zt) :]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"code_levels": None},
        {"resample": 1, "kv_heads": 2},
        {"width": 48, "heads": 4, "kv_heads": 2, "ffn": 40, "token_width": 24, "token_ffn": 20},
        {"depth": 0, "token_depth": 0},
    ],
)
def test_it_is_the_same_function(changes):
    config, _, model, _ = build_tiny()
    if changes:
        torch.manual_seed(1)
        model = MaskedDiffusionTransformer(dataclasses.replace(config.model, **changes)).eval()
        for p in model.parameters():
            p.data.add_(torch.randn_like(p) * 0.1)
    model = model.to(DEVICE)
    fast, c = InferenceModel(model, torch.float32), model.config
    g = torch.Generator().manual_seed(0)
    zt = torch.randint(0, c.vocab_size + 1, (3, c.length), generator=g).to(DEVICE)
    text = torch.randint(0, c.text_vocab_size, (3, c.text_length), generator=g).to(DEVICE)
    for strength in (None, 0.0, 2.5):
        with torch.inference_mode():
            expected = guided(model, zt, text, strength)
        got = fast.hidden(zt, text, None if strength is None else torch.tensor(strength, device=DEVICE))
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("one_pass", [True, False])
def test_weights_that_hold_guidance_take_one_pass_there_too(one_pass):
    config, _, old, _ = build_tiny()
    model = MaskedDiffusionTransformer(dataclasses.replace(config.model, guided=True)).eval()
    model.load_state_dict(old.state_dict(), strict=False)
    torch.manual_seed(2)
    with torch.no_grad():
        model.guide.shift.weight.normal_(std=0.3)
        model.guide.scale.weight.normal_(std=0.1)
    model = model.to(DEVICE)
    fast, c = InferenceModel(model, torch.float32, one_pass), model.config
    g = torch.Generator().manual_seed(0)
    zt = torch.randint(0, c.vocab_size + 1, (3, c.length), generator=g).to(DEVICE)
    text = torch.randint(0, c.text_vocab_size, (3, c.text_length), generator=g).to(DEVICE)
    for strength in (None, 2.5, 9.0):
        with torch.inference_mode():
            beta = torch.full((3,), 1 / (1 + min(strength or 0, 5.0)), device=DEVICE)
            expected = model(zt, text, None, beta) if one_pass else guided(model, zt, text, strength)
        got = fast.hidden(zt, text, None if strength is None else torch.tensor(strength, device=DEVICE))
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_a_changed_weight_shows():
    model = build_tiny()[2]
    before = stamp(model)
    assert stamp(model) == before
    with torch.no_grad():
        model.blocks[0].ffn.down.weight.mul_(1.5)
    assert stamp(model) != before
