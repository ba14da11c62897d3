"""Meissonic and Monetico against what their own program made of their twins (tests/reference/meissonic.py)."""

import json
import math
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from family_contract import run_contract
from safetensors.torch import load_file

from mdm_core import families
from mdm_core.families.meissonic import folder as meissonic
from mdm_core.families.meissonic.config import MMDiTConfig
from mdm_core.families.meissonic.mmdit import MMDiT
from mdm_core.families.published import tokens as waves
from mdm_core.pipeline import Pipeline

GOLDEN = Path(__file__).parents[2] / "golden" / "meissonic"
NAMES = {"plain": "Monetico 32", "halved": "Meissonic 32"}
PROMPT, NEGATIVE, V, MASK = "a red fox in the snow", "the snow", 130, 135


@pytest.fixture(scope="module", params=NAMES)
def twin(request):
    """(its name, the twin for runs of ten steps, what the reference said)"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(meissonic, "default_steps", lambda config: 10)
        pipe = Pipeline.from_pretrained(GOLDEN / request.param, "cpu", torch.float32)
    return request.param, pipe, load_file(GOLDEN / f"{request.param}.safetensors")


def near(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Equal but for 1e-5 of the largest value: fp32 sums in another order."""
    return got.shape == wanted.shape and float((got - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_logits_are_the_reference_s(twin, monkeypatch):
    """With five steps to come; its scale of 9 is our guidance of 8.

    Its rates of waves are float32 exponentials, whose last digit is that of the processor that it ran on: they are
    told, and so ours are held against them alone.
    """
    reference = torch.tensor(json.loads((GOLDEN / "rates.json").read_text()))
    exact = torch.logspace(0, -4, len(reference) + 1, dtype=torch.float64)[:-1]
    for told in (
        waves.rates(len(reference), reference.device),
        reference,
    ):  # the power in float32 has 24 digits as well
        assert (told / exact - 1).abs().max() < 1e-6
    monkeypatch.setattr(waves, "rates", lambda count, device: reference)
    _, pipe, told = twin
    tokens, condition = told["tokens"].long(), pipe.condition(PROMPT, NEGATIVE)
    ids, back = torch.where(tokens == V, MASK, tokens), pipe.backbone

    def logits(states, pooled):
        with torch.no_grad():
            hidden = back.model(ids, states, pooled, back._micro[None], torch.tensor([5.0]))
        return (hidden[0].flatten(0, 1) @ back.head_weight.t())[::3]

    with_prompt, without = logits(*condition[:2]), logits(*condition[2:])
    assert near(with_prompt, told["logits"])
    assert near(9 * with_prompt - 8 * without, told["guided"])


def test_a_greedy_run_is_the_reference_s_at_every_step_and_so_is_its_picture(twin):
    """Told the same number of steps to come, which here is read off the share of masked cells."""
    _, pipe, told = twin
    settings = dict(steps=10, guidance=8.0, top_k=1, gumbel=2.0)
    run = pipe.generate(PROMPT, seed=7, negative=NEGATIVE, **settings)
    assert np.array_equal(np.stack([r.tokens for r in run.records]), told["made"].numpy())
    assert np.array_equal(np.asarray(run.image), told["pixels"].numpy())


@pytest.mark.parametrize("steps,cells", [(64, 64 * 64), (48, 32 * 32), (10, 64)])
def test_the_steps_to_come_are_the_published_ones_in_a_run_of_as_many_as_are_the_default(steps, cells):
    k = np.arange(steps)
    masked = np.floor(np.cos(math.pi / 2 * k / steps) * cells)
    shown = torch.tensor(1 - masked / cells)
    assert meissonic.steps_left(shown, steps).tolist() == (steps - 1 - k).tolist()
    assert meissonic.steps_left(torch.tensor([1.0]), steps).tolist() == [0.0]


def test_the_published_models_have_the_reference_s_names_and_shapes():
    published = json.loads((GOLDEN / "published.json").read_text())
    for name, side in (("Monetico", 32), ("Meissonic", 64)):
        config = MMDiTConfig(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in published[name]["config"].items()}
        )
        assert config.side == side
        with torch.device("meta"):
            state = MMDiT(config).state_dict()
        shapes = Counter(f"{re.sub(r'[.][0-9]+', '.N', k)} {list(v.shape)}" for k, v in state.items())
        assert shapes == published[name]["shapes"]
        count = sum(v.numel() for v in state.values())
        assert count == published[name]["parameters"]
    # 4.03 GB in fp32, as its published file has
    assert round(count * 4 / 1e9, 2) == 4.03


def test_the_contract_is_kept(twin, tmp_path):
    run_contract(twin[1], "a red fox", "the lake", tmp_path)


def test_what_everyone_may_know_of_it(twin):
    name, pipe, _ = twin
    facts = families.facts(GOLDEN / name)
    assert facts.name == NAMES[name] and facts.licence == "Apache-2.0" and facts.family == "meissonic"
    assert facts.fingerprint == pipe.facts.fingerprint and facts.revises is False
    assert facts.defaults["steps"] == (64 if name == "halved" else 48) and facts.defaults["guidance"] == 8
    assert facts.defaults["gumbel"] * (1 - 1 / facts.defaults["steps"]) == pytest.approx(2)
    assert "low quality" in pipe.prompts.negative
    settings = dict(seed=1, steps=3, top_k=1)
    plain = pipe.generate(PROMPT, **settings)
    same = pipe.generate(PROMPT, negative=pipe.prompts.negative, **settings)
    assert np.array_equal(plain.tokens, same.tokens)
    assert not np.array_equal(plain.tokens, pipe.generate(PROMPT, negative="", **settings).tokens)


@pytest.mark.parametrize(
    "key,value,sentence",
    [
        ("downsample", True, "must both be true"),
        ("axes_dims_rope", [2, 4], "three even numbers"),
        ("axes_dims_rope", [2, 4, 8], "add up to attention_head_dim"),
        ("guidance_embeds", True, "guidance_embeds must be False"),
        ("pooled_projection_dim", 12, "the text encoder writes 16 and 24"),
        ("num_layers", -1, "num_layers must be a whole number"),
        ("num_single_layers", 1, "does not belong to this model"),
        ("_class_name", "FluxTransformer2DModel", "which does not open here"),
    ],
)
def test_folders_that_are_wrong_are_one_sentence(tmp_path, key, value, sentence):
    folder = shutil.copytree(GOLDEN / "plain", tmp_path / "model")
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ValueError, match=sentence) as caught:
        Pipeline.from_pretrained(folder, "cpu")
    assert "\n" not in str(caught.value)
