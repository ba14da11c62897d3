"""Guidance in one pass: weights that take beta, and weights of before, which are as they were."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from tiny_model import build_tiny

from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.config import beta_of, load_config
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.families.weights import load_weights, save_weights
from mdm_core.pipeline import Pipeline


def guided(seed: int = 0, spread: float = 0.5):
    """The tiny pipeline with weights that hold guidance, of which `guide` is random."""
    config, codec, model, text = build_tiny()
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, guided=True))
    new = MaskedDiffusionTransformer(config.model).eval()
    new.load_state_dict(model.state_dict(), strict=False)
    torch.manual_seed(seed)
    with torch.no_grad():
        for part in (new.guide.shift, new.guide.scale):
            part.weight.normal_(std=spread)
    return Pipeline(codec, text, TransformerBackbone(new), config), model


def inputs(model, count=3):
    c, g = model.config, torch.Generator().manual_seed(4)
    zt = torch.randint(0, c.vocab_size + 1, (count, c.length), generator=g)
    return zt, torch.randint(0, 300, (count, c.text_length), generator=g)


@torch.no_grad()
def test_new_weights_begin_as_the_old_ones_to_the_bit():
    pipe, old = guided(spread=0.0)
    zt, text = inputs(old)
    for beta in (None, torch.tensor([1.0, 0.4, 1 / 6])):
        assert torch.equal(pipe.backbone.model(zt, text, None, beta), old(zt, text))


@torch.no_grad()
def test_without_guidance_they_stay_so_whatever_was_learnt():
    pipe, old = guided()
    zt, text = inputs(old)
    model = pipe.backbone.model
    assert torch.equal(model(zt, text, None, torch.ones(3)), old(zt, text))
    changed = model(zt, text, None, torch.full((3,), 0.4))
    assert not torch.allclose(changed, old(zt, text), atol=0.01)
    with pytest.raises(ValueError, match="were not trained with beta"):
        old(zt, text, None, torch.ones(3))


def test_a_step_is_one_pass_over_one_picture(monkeypatch):
    pipe, old = guided()
    two = Pipeline(pipe.codec, pipe.prompts, TransformerBackbone(old), build_tiny()[0])
    seen = []
    forward = MaskedDiffusionTransformer.forward

    def listen(self, zt, *rest):
        seen.append((len(zt), len(rest) > 2))
        return forward(self, zt, *rest)

    monkeypatch.setattr(MaskedDiffusionTransformer, "forward", listen)
    settings = {"seed": 2, "steps": 4, "polish": 0}
    pipe.generate("a cat", guidance=1.5, **settings)
    assert seen == [(1, True)] * 4
    seen.clear()
    pipe.generate("a cat", guidance=0, **settings)
    assert seen == [(1, False)] * 4
    seen.clear()
    two.generate("a cat", guidance=1.5, **settings)
    assert seen == [(2, False)] * 4


def test_the_setting_reaches_from_nothing_to_five():
    pipe, _ = guided()
    zt, text = inputs(pipe.backbone.model)
    made = {g: pipe.backbone.hidden(zt, text, g) for g in (0.0, 0.5, 1.5, 5.0, 5.5, 50.0)}
    assert not torch.allclose(made[0.0], made[0.5], atol=1e-3)
    assert not torch.allclose(made[0.5], made[1.5], atol=1e-3)
    assert not torch.allclose(made[1.5], made[5.0], atol=1e-3)
    assert torch.equal(made[5.0], made[5.5]) and torch.equal(made[5.0], made[50.0])
    assert [beta_of(g) for g in (0, 1.5, 5, 20)] == pytest.approx([1, 0.4, 1 / 6, 1 / 6])


def test_two_passes_can_still_be_asked_for():
    pipe, old = guided()
    zt, text = inputs(old)
    pipe.backbone.one_pass = False
    assert torch.equal(pipe.backbone.hidden(zt, text, 1.5), TransformerBackbone(old).hidden(zt, text, 1.5))


def test_folders_of_before_open_and_new_ones_say_what_they_hold(tmp_path):
    pipe, old = guided()
    config, codec, _, text = build_tiny()
    Pipeline.save(tmp_path / "old", codec, old, text, config)
    data = json.loads((tmp_path / "old" / "config.json").read_text())
    del data["model"]["guided"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(data))
    opened = Pipeline.from_pretrained(tmp_path / "old", "cpu")
    assert opened.facts.trained_guidance is None and not opened.backbone.one_pass

    Pipeline.save(tmp_path / "new", codec, pipe.backbone.model, text, pipe.config)
    again = Pipeline.from_pretrained(tmp_path / "new", "cpu")
    assert again.facts.trained_guidance == 5.0 and again.backbone.one_pass
    runs = [p.generate("a cat", seed=3, steps=4, guidance=2.5) for p in (pipe, again)]
    assert np.array_equal(runs[0].tokens, runs[1].tokens)
    assert again.facts.fingerprint != opened.facts.fingerprint
    data = json.loads((tmp_path / "new" / "config.json").read_text())
    data["model"]["guided"] = "yes"
    (tmp_path / "new" / "config.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="guided must be True or False"):
        load_config(tmp_path / "new" / "config.json")


def test_only_what_is_new_may_be_missing_in_a_file(tmp_path):
    pipe, old = guided()
    model = pipe.backbone.model
    before = model.guide.shift.weight.clone()
    save_weights(old, tmp_path / "old.safetensors")
    with pytest.raises(ValueError, match=r"'guide.scale.weight' is missing"):
        load_weights(model, tmp_path / "old.safetensors")
    load_weights(model, tmp_path / "old.safetensors", new=("guide.",))
    assert torch.equal(model.guide.shift.weight, before)
    save_weights(model, tmp_path / "new.safetensors")
    with torch.no_grad():
        model.guide.shift.weight.zero_()
    load_weights(model, tmp_path / "new.safetensors", new=("guide.",))
    assert torch.allclose(model.guide.shift.weight, before, atol=1e-3)
    with pytest.raises(ValueError, match=r"is missing: a model folder holds"):
        load_weights(model, tmp_path / "none.safetensors", new=("guide.",))
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="cannot be used"):
        load_weights(model, tmp_path / "bad.safetensors", new=("guide.",))
