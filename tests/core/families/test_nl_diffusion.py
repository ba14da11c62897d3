"""NL-Diffusion-Image against what free parts make of its twin (tests/reference/nl_diffusion.py), and its index."""

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
from mdm_core.families.nl_diffusion import folder as nl
from mdm_core.families.nl_diffusion.config import BodyConfig, NLConfig
from mdm_core.families.nl_diffusion.prompts import SYSTEM
from mdm_core.families.nl_diffusion.transformer import NLTransformer, rates
from mdm_core.families.published.ibq import IBQ, IBQConfig
from mdm_core.pipeline import Pipeline

GOLDEN = Path(__file__).parents[2] / "golden" / "nl_diffusion"
TWIN = GOLDEN / "twin"
PROMPTS = [
    "a red fox in the snow",
    "",
    "Ein Bär isst 12 Äpfel; it's   raining, isn't it?\tYES!!",
    "ünïcödé 雪 🦊 a_b-c",
]
V = 130
# of the real folder's config.json
ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1e6,
    "factor": 16.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "original_max_position_embeddings": 16384,
    "llama_4_scaling_beta": 0.1,
}


@pytest.fixture(scope="module")
def told():
    """What the reference said."""
    return load_file(GOLDEN / "twin.safetensors")


@pytest.fixture(scope="module")
def pipe():
    return Pipeline.from_pretrained(TWIN, "cpu", torch.float32)


def near(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Equal but for 1e-5 of the largest value: fp32 sums in another order."""
    return got.shape == wanted.shape and float((got - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def real() -> NLConfig:
    """The configuration of the published model."""
    return NLConfig(BodyConfig(rope_parameters=ROPE), IBQConfig())


def test_the_versions_of_the_reference_are_recorded():
    with safe_open(GOLDEN / "twin.safetensors", "pt") as file:
        assert set(file.metadata()) == {"diffusers", "transformers", "torch"}


@pytest.mark.parametrize("n", range(4))
def test_prompts_become_the_reference_s_ids_and_know_their_places(pipe, told, n):
    (prompt,) = pipe.prompts.encode([PROMPTS[n]])
    assert torch.equal(prompt.ids, told[f"ids.{n}"])
    ids = prompt.ids.tolist()
    # the slots follow each other, and the question ends with the second end of the chat
    assert ids[prompt.first : prompt.first + 16] == [18] * 16 and ids.count(18) == 16
    assert [i for i, x in enumerate(ids) if x == 11][1] == prompt.told - 1 < prompt.first


def test_the_prompt_s_text_is_the_published_one(pipe):
    text = pipe.prompts.text("a fox")
    assert text.startswith(f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n")
    assert (
        "caption:\n a fox ORIGINAL WIDTH : 16; ORIGINAL HEIGHT : 16; TOP : 0; LEFT : 0; SCORE : 6.5<|" in text
    )
    assert text.endswith(f"Sure <SPECIAL_21>{'<SPECIAL_18>' * 16}<SPECIAL_22><|im_end|>\n")


@pytest.mark.parametrize("name,guidance", [("logits", 0.0), ("guided", 5.0)])
def test_logits_are_the_reference_s(pipe, told, name, guidance):
    hidden = pipe.forward.hidden(told["tokens"].long().flatten()[None], pipe.condition(PROMPTS[0]), guidance)
    got = (hidden[0] @ pipe.forward.head.t())[::3]
    assert near(got, told[name]) and torch.equal(got.argmax(1), told[name].argmax(1))


def test_a_picture_becomes_the_reference_s_tokens(pipe, told):
    assert np.array_equal(pipe.encode(Image.fromarray(told["picture"].numpy())), told["codes"].numpy())


def test_a_greedy_run_is_the_reference_s_at_every_step_and_so_is_its_picture(pipe, told):
    run = pipe.generate(PROMPTS[0], seed=7, steps=6, top_k=1, gumbel=0, edit="off", polish=0)
    assert np.array_equal(np.stack([r.tokens for r in run.records]), told["made"].numpy())
    assert np.array_equal(np.asarray(run.image), told["pixels"].numpy())


def test_positions_are_stretched_where_waves_are_long():
    pace = rates(real().body)
    plain = 1e6 ** (-torch.arange(0, 128, 2, dtype=torch.float64) / 128)
    assert torch.equal(pace[:20], plain[:20]) and torch.allclose(pace[-15:], plain[-15:] / 16)
    assert (pace[1:] < pace[:-1]).all()


# ---- the real one ---------------------------------------------------------------------------------------------


def test_the_published_model_has_the_names_of_its_index_and_the_parameters():
    published = json.loads((GOLDEN / "published.json").read_text())
    with torch.device("meta"):
        model, codec = NLTransformer(real()), IBQ(real().tokenizer, 64)
    ours = Counter(re.sub(r"[.][0-9]+", ".N", name) for name in nl._names(model, codec))
    theirs = {name: n for name, n in published["names"].items() if not name.startswith(nl.UNNEEDED)}
    assert ours == theirs and sum(theirs.values()) == 857 and sum(published["names"].values()) == 1288
    count = [sum(v.numel() for v in part.state_dict().values()) for part in (model, codec)]
    # for text-to-image 9.17 B and the tokenizer; the rest of 11.9 B reads pictures and writes texts
    assert count == [9_165_914_112, 455_336_963]
    assert published["parameters"] == 11_911_248_387 == sum(count) + 2_289_997_312
    state = {k: list(v.shape) for k, v in model.state_dict().items()}
    assert state["gen_embedding.weight"] == [131_328, 4096]
    assert state["gen_predictor.weight"] == [131_072, 4096]
    assert state["downsample_gen.downsample.conv.weight"] == [4096, 4096, 2, 2]
    assert state["embed_tokens.weight"] == [132_101, 4096] and real().mask_id == 131_073
    assert real().body.slots == 1024 and real().tokenizer.patch * real().body.sample_size == 1024


# ---- as a family ----------------------------------------------------------------------------------------------


def test_the_contract_is_kept(pipe, tmp_path):
    run_contract(pipe, "a red fox", "the lake", tmp_path)


def test_what_everyone_may_know_of_it(pipe):
    facts = families.facts(TWIN)
    assert (
        facts == pipe.facts and facts.fingerprint == pipe.facts.fingerprint and len(facts.fingerprint) == 16
    )
    assert facts.name == "NL-Diffusion-Image 16" and facts.family == "nl_diffusion"
    assert facts.licence == "NVIDIA's licence: research and development only, not commercial"
    # it learned to mend flipped tokens
    assert facts.revises is True and facts.defaults["edit"] == "overwrite"
    asked = ("steps", "guidance", "temperature", "schedule", "order", "gumbel")
    assert [facts.defaults[name] for name in asked] == [20, 5.0, 1.0, "shift", "confidence", 1.0]
    assert all(pipe.prompts.encode([text]) for text in facts.examples)


def test_prompts_of_any_length_share_a_batch_on_a_device_that_computes_them_together(pipe):
    """As a GPU does: here the backbone is asked at once for what a CPU asks one by one."""
    tokens = torch.randint(V, (4, 64), generator=torch.Generator().manual_seed(1))
    tokens[:, ::2] = V
    condition = pipe.prompts.encode([*PROMPTS[:1], *PROMPTS[2:], PROMPTS[0]])
    whole = pipe.forward.hidden(tokens, condition, 5.0)
    for b in range(4):
        one = pipe.forward.hidden(tokens[b : b + 1], pipe.prompts.take(condition, [b]), 5.0)
        assert near(whole[b : b + 1], one)


def test_weights_are_held_as_asked_but_for_what_names_tokens():
    narrow = Pipeline.from_pretrained(TWIN, "cpu", torch.bfloat16)
    assert {p.dtype for p in narrow.backbone.model.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in narrow.codec.decoder.parameters()} == {torch.bfloat16}
    for part in (narrow.codec.encoder, narrow.codec.quant_conv, narrow.codec.quantize):
        assert {p.dtype for p in part.parameters()} == {torch.float32}
    for module in (narrow.backbone.model, narrow.codec):
        assert not any(p.is_meta or p.requires_grad for p in module.parameters())
    assert narrow.facts.fingerprint == families.facts(TWIN).fingerprint
    assert narrow.generate("a fox", seed=1, steps=3).image.size == (16, 16)


def test_the_licence_is_said_when_it_opens(caplog):
    Pipeline.from_pretrained(TWIN, "cpu", torch.float32)
    assert caplog.messages == [f"NL-Diffusion-Image: {nl.LICENCE}"]


def test_codes_have_groups_though_they_lie_on_no_lattice(pipe):
    book = pipe.codec.codebook()
    assert book.shape == (V, 5) and book.dtype == torch.float32 and not book.requires_grad
    assert not hasattr(pipe.codec, "levels") and not hasattr(pipe.codec, "context")
