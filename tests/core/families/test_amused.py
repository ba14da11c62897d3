"""aMUSEd against what diffusers wrote about its twins (tests/reference/amused.py), and against its published shapes."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from family_contract import run_contract
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from mdm_core import families
from mdm_core.families.amused import config as amused_config
from mdm_core.families.amused.uvit import UViT
from mdm_core.families.published.clip import ClipText
from mdm_core.families.published.tokens import sinusoids
from mdm_core.families.published.vqgan import VQGAN
from mdm_core.pipeline import Pipeline

GOLDEN = Path(__file__).parents[2] / "golden" / "amused"
TWINS = ("plain", "halved")
PROMPTS = [
    "a red fox in the snow",
    "",
    "Ein Bär isst 12 Äpfel; it's   raining, isn't it?\tYES!!",
    "<|endoftext|> ünïcödé 雪 🦊 a_b-c",
]
V = 130


@pytest.fixture(scope="module", params=TWINS)
def twin(request):
    """(the twin as we open it, what the reference said)"""
    told = load_file(GOLDEN / f"{request.param}.safetensors")
    return Pipeline.from_pretrained(GOLDEN / request.param, "cpu", torch.float32), told


def near(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Equal but for 1e-5 of the largest value: fp32 sums in another order."""
    return got.shape == wanted.shape and float((got - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_the_versions_of_the_reference_are_recorded():
    for name in TWINS:
        with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
            assert set(file.metadata()) == {"diffusers", "transformers", "torch"}


def test_prompts_become_the_reference_s_ids_and_states(twin):
    pipe, told = twin
    assert torch.equal(pipe.prompts.tokenizer.encode(PROMPTS), told["ids"].long())
    condition = pipe.prompts.encode(PROMPTS)
    assert near(condition.states, told["states"]) and near(condition.pooled, told["pooled"])
    # guidance leads away from the empty prompt, which is the second of them
    assert all(near(row, told["states"][1]) for row in condition.away_states)
    assert all(near(row, told["pooled"][1]) for row in condition.away_pooled)


@pytest.mark.parametrize("name,guidance", [("logits", 0.0), ("guided", 9.0)])
def test_logits_are_the_reference_s(twin, name, guidance):
    """Its scale of 10 is our guidance of 9, folded into the hidden states."""
    pipe, told = twin
    hidden = pipe.forward.hidden(told["tokens"].long().flatten(1), pipe.condition(PROMPTS[0]), guidance)
    got = (hidden[0] @ pipe.forward.head.t())[::3]
    assert near(got, told[name]) and torch.equal(got.argmax(1), told[name].argmax(1))


def test_a_picture_becomes_the_reference_s_tokens(twin):
    pipe, told = twin
    assert np.array_equal(pipe.encode(Image.fromarray(told["picture"].numpy())), told["codes"].numpy())


def test_a_greedy_run_is_the_reference_s_at_every_step_and_so_is_its_picture(twin):
    pipe, told = twin
    run = pipe.generate(PROMPTS[0], seed=7, steps=10, top_k=1, gumbel=2.0)
    assert np.array_equal(np.stack([r.tokens for r in run.records]), told["made"].numpy())
    assert np.array_equal(np.asarray(run.image), told["pixels"].numpy())


def test_a_greedy_inpainting_is_the_reference_s_at_every_step(twin):
    pipe, told = twin
    picture, cells = Image.fromarray(told["picture"].numpy()), told["cells"].numpy()
    settings = dict(steps=7, top_k=1, gumbel=2.0, schedule="linear")
    run = pipe.repaint(picture, cells, PROMPTS[0], seed=7, **settings)
    assert np.array_equal(np.stack([r.tokens for r in run.records]), told["painted"].numpy())


# ---- the real ones --------------------------------------------------------------------------------------------

PUBLISHED = json.loads((GOLDEN / "published.json").read_text())
TOTALS = {  # millions, as the sizes of the published files say
    "amused-256": {"transformer": 603.5, "vqvae": 146.2, "text_encoder": 123.7},
    "amused-512": {"transformer": 608.3, "vqvae": 146.2, "text_encoder": 123.7},
}


@pytest.mark.parametrize("name", TOTALS)
def test_the_published_models_have_the_reference_s_names_and_shapes(name, tmp_path):
    for part, values in PUBLISHED[name]["config"].items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(values))
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps({"mask_token_id": 8255}))
    config = amused_config.load_config(tmp_path)
    side = {"amused-256": 16, "amused-512": 32}[name]
    assert (config.transformer.sample_size, config.vqvae.patch) == (side, 16)
    with torch.device("meta"):
        parts = {
            "transformer": UViT(config.transformer),
            "vqvae": VQGAN(config.vqvae, side),
            "text_encoder": ClipText(config.text),
        }
    for part, module in parts.items():
        state, told = module.state_dict(), PUBLISHED[name]["weights"][part]
        shapes = Counter(f"{re.sub(r'[.][0-9]+', '.N', k)} {list(v.shape)}" for k, v in state.items())
        assert shapes == told["shapes"], part
        count = sum(v.numel() for v in state.values())
        assert count == told["parameters"] and round(count / 1e6, 1) == TOTALS[name][part]


# ---- as a family ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TWINS)
def test_the_contract_is_kept(name, tmp_path):
    pipe = Pipeline.from_pretrained(GOLDEN / name, "cpu", torch.float32)
    run_contract(pipe, "a red fox", "the lake", tmp_path)


def test_what_everyone_may_know_of_it(twin):
    pipe, _ = twin
    facts = families.facts(GOLDEN / TWINS[pipe.grid != (8, 8)])
    assert facts == pipe.facts and facts.fingerprint == pipe.facts.fingerprint
    assert facts.name == f"aMUSEd {pipe.image_size[0]}" and facts.licence == "OpenRAIL++"
    assert facts.revises is False and facts.examples and len(facts.fingerprint) == 16
    asked = ("steps", "guidance", "temperature", "schedule", "edit", "polish")
    assert [facts.defaults[name] for name in asked] == [12, 9.0, 1.0, "cosine", "off", 0]
    # the noise at the first of twelve steps is 2, where the published pipeline starts
    assert facts.defaults["gumbel"] * (1 - 1 / 12) == pytest.approx(2)
    assert all(pipe.prompts.tokenizer.encode([text]).shape == (1, 77) for text in facts.examples)


def test_weights_are_held_as_asked_and_known_by_one_name():
    """None is bf16 where the machine is fast in it; the numbers keep their fingerprint, and the logits their order."""
    wide, narrow = (
        Pipeline.from_pretrained(GOLDEN / "plain", "cpu", t) for t in (torch.float32, torch.bfloat16)
    )
    for pipe, dtype in ((wide, torch.float32), (narrow, torch.bfloat16)):
        for module in (pipe.backbone.model, pipe.codec, pipe.prompts.model):
            assert {p.dtype for p in module.parameters()} == {dtype}
            assert not any(p.is_meta or p.requires_grad for p in module.parameters())
    assert narrow.facts.fingerprint == wide.facts.fingerprint
    tokens = torch.full((1, 64), V)
    a, b = (
        p.forward.hidden(tokens, p.condition(PROMPTS[0]), 9.0) @ p.forward.head.t() for p in (wide, narrow)
    )
    assert a.dtype == b.dtype == torch.float32
    assert 0 < float((a - b).norm() / a.norm()) < 0.2
    assert narrow.generate("a fox", seed=1, steps=3).image.size == (32, 32)


def test_the_negative_prompt_and_guidance_matter(twin):
    pipe, _ = twin
    plain = pipe.generate("a red fox", seed=1, steps=4, top_k=1)
    away = pipe.generate("a red fox", seed=1, steps=4, top_k=1, negative="the snow")
    same = pipe.generate("a red fox", seed=1, steps=4, top_k=1, negative="")
    assert np.array_equal(plain.tokens, same.tokens) and not np.array_equal(plain.tokens, away.tokens)
    free = pipe.generate("a red fox", seed=1, steps=4, top_k=1, guidance=0)
    again = pipe.generate("a red fox", seed=1, steps=4, top_k=1, guidance=0, negative="the snow")
    assert np.array_equal(free.tokens, again.tokens) and not np.array_equal(free.tokens, plain.tokens)


def test_a_prompt_that_does_not_fit_is_refused_rather_than_cut(twin):
    pipe, _ = twin
    assert pipe.prompts.tokenizer.encode(["a " * 75]).shape == (1, 77)
    for call in (dict(prompt="a " * 76), dict(prompt="a", negative="a " * 76)):
        with pytest.raises(
            ValueError, match="it needs 76 text tokens and the model reads 75; please shorten it"
        ):
            pipe.generate(**call)


def test_codes_have_groups_though_they_lie_on_no_lattice(twin):
    pipe, _ = twin
    book = pipe.codec.codebook()
    assert book.shape == (V, 4) and book.dtype == torch.float32 and not book.requires_grad
    assert not hasattr(pipe.codec, "levels") and not hasattr(pipe.codec, "context")


def test_micro_conditions_are_waves_of_width_height_corner_and_score():
    waves = sinusoids(torch.tensor([0.0, 256.0]), 8)
    assert waves.shape == (2, 8) and waves[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    rates = 10_000.0 ** (-np.arange(4) / 4)
    assert np.allclose(waves[1], [*np.cos(256 * rates), *np.sin(256 * rates)], atol=1e-4)
    pipe = Pipeline.from_pretrained(GOLDEN / "halved", "cpu", torch.float32)
    assert pipe.backbone._micro.tolist() == [48, 48, 0, 0, 6]
