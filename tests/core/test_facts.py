"""What everyone may know of a model, and the fingerprint: the same weights have the same name wherever they lie."""

import dataclasses
import json

import pytest
import torch
from tiny_model import build_tiny

from mdm_core import families
from mdm_core.facts import Facts, Fingerprint
from mdm_core.families.weights import load_weights, save_weights
from mdm_core.pipeline import Pipeline


def of(tensors, lattice=()):
    told = Fingerprint(lattice)
    told.add_all("part", tensors)
    return str(told)


def test_the_facts_of_a_model(tiny):
    facts = tiny.facts
    assert (facts.family, facts.grid, facts.patch, facts.image_size) == ("chisel", (4, 4), 8, (32, 32))
    assert facts.vocab_size == facts.mask_id == 32
    assert facts.defaults == dataclasses.asdict(tiny.config.sample) and facts.revises
    assert len(facts.fingerprint) == 16 and int(facts.fingerprint, 16) >= 0
    with pytest.raises(TypeError):
        facts.defaults["steps"] = 3


def test_the_shipped_model_tells_what_the_page_shows():
    facts = Pipeline.from_pretrained().facts
    assert facts.examples[0] == "three strawberries on a teal background" and facts.revises
    assert facts.name == "Chisel's emoji world" and facts.licence.startswith("Apache-2.0")
    assert facts.defaults["temperature"] == 0.4 and facts.image_size == (128, 128)


def test_a_fingerprint_is_of_every_number_and_of_the_lattice():
    g = torch.Generator().manual_seed(0)
    tensors = {"a": torch.randn(30, 7, generator=g), "b": torch.randn(5, generator=g), "n": torch.arange(4)}
    told = of(tensors, (8, 8))
    assert told == of(dict(reversed(tensors.items())), (8, 8)) != of(tensors, (4, 16))
    for name, place in (("a", (29, 6)), ("b", (2,)), ("n", (3,))):
        other = {k: v.clone() for k, v in tensors.items()}
        other[name][place] += 1
        assert of(other, (8, 8)) != told
    assert of({**tensors, "a": tensors["a"].view(7, 30)}, (8, 8)) != told
    assert of({**tensors, "c": torch.zeros(0)}, (8, 8)) != told


def test_weights_in_another_width_are_the_same_weights():
    half = torch.randn(64, 3, generator=torch.Generator().manual_seed(1)).half()
    assert of({"w": half}) == of({"w": half.float()}) == of({"w": half.double()})
    huge = torch.tensor([1e6, 2e6])
    assert of({"w": huge}) == of({"w": huge.double()}) != of({"w": huge + 1e5})


def test_facts_need_no_more_than_geometry_and_defaults():
    facts = Facts("x", "other", (2, 8), 4, 27, 27, {"steps": 3})
    assert facts.image_size == (8, 32) and facts.examples == () and not facts.revises
    assert hash(facts) == hash(dataclasses.replace(facts))


DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("int8", [False, True])
def test_a_file_has_one_fingerprint_however_it_is_loaded(tiny, tmp_path, int8):
    folder = tmp_path / "model"
    Pipeline.save(folder, tiny.codec, tiny.backbone.model, tiny.prompts, tiny.config, int8=int8)
    opened = [Pipeline.from_pretrained(folder, "cpu", dtype) for dtype in DTYPES]
    told = {pipe.facts.fingerprint for pipe in opened}
    assert told == {families.facts(folder).fingerprint}
    assert (told == {tiny.facts.fingerprint}) != int8  # 8 bits are other weights
    for pipe, dtype in zip(opened, DTYPES, strict=True):
        weights = {p.dtype for p in [*pipe.backbone.model.parameters(), *pipe.codec.parameters()]}
        assert weights == {dtype} and pipe.forward.head.dtype == dtype
        run = pipe.generate("a cat", seed=1, steps=4)
        assert run.image.size == (32, 32) and pipe.encode(run.image).shape == (4, 4)

    again = tmp_path / "elsewhere" / "again"
    pipe = opened[0]
    Pipeline.save(again, pipe.codec, pipe.backbone.model, pipe.prompts, pipe.config)
    assert Pipeline.from_pretrained(again, "cpu").facts.fingerprint in told
    with torch.no_grad():
        pipe.backbone.model.norm.weight[3] *= 1.01
    Pipeline.save(again, pipe.codec, pipe.backbone.model, pipe.prompts, pipe.config)
    assert Pipeline.from_pretrained(again, "cpu").facts.fingerprint not in told


def test_it_is_computed_when_somebody_asks():
    asked = []
    facts = Facts("x", "other", (2, 8), 4, 27, 27, {}, fingerprint=lambda: asked.append(1) or "ab" * 8)
    assert facts.image_size == (8, 32) and not asked
    assert facts.fingerprint == facts.fingerprint == "ab" * 8 and asked == [1]
    assert Facts("x", "other", (2, 8), 4, 27, 27, {}).fingerprint == ""


@pytest.mark.parametrize(
    "card,expected",
    [
        ({}, ("Chisel", "", (), True)),
        ({"objects": ["cat", "apple", 3]}, ("Chisel", "", ("a cat", "an apple"), True)),
        ({"objects": None, "recipe": {"objective": {"edit_weight": 0.0}}}, ("Chisel", "", (), False)),
        ({"recipe": {"objective": {"edit_weight": 0.2}}}, ("Chisel", "", (), True)),
        ({"recipe": "lost", "name": "Mine", "licence": "MIT"}, ("Mine", "MIT", (), True)),
        ({"examples": ["red"], "revises": False}, ("Chisel", "", ("red",), False)),
    ],
)
def test_cards_of_before_have_fallbacks(tiny, card, expected):
    facts = dataclasses.replace(tiny.config, card=card).facts("")
    assert (facts.name, facts.licence, facts.examples, facts.revises) == expected


@pytest.mark.parametrize(
    "card,sentence",
    [
        ({"name": 3}, "name of the card must be a text, got 3"),
        ({"licence": None}, "licence of the card must be a text"),
        ({"revises": "yes"}, "revises of the card must be true or false"),
        ({"examples": "a cat"}, "examples of the card must be a list of prompts"),
        ({"examples": ["a cat", ""]}, "examples of the card must be prompts"),
        ([], "section 'card' must be an object"),
    ],
)
def test_a_card_that_tells_of_itself_in_another_form_is_refused(tiny, tmp_path, card, sentence):
    folder = tmp_path / "model"
    Pipeline.save(folder, tiny.codec, tiny.backbone.model, tiny.prompts, tiny.config)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "card": card}))
    for call in (Pipeline.from_pretrained, families.facts):
        with pytest.raises(ValueError, match=f"config.json cannot be used: .*{sentence}"):
            call(folder)


def test_weights_that_a_narrow_type_cannot_hold_are_refused(tiny, tmp_path):
    config, codec, model, text = build_tiny()
    with torch.no_grad():
        codec.to_pixels.weight[0, 0] = 1e6
    Pipeline.save(tmp_path / "m", codec, model, text, config)
    with pytest.raises(ValueError, match="'to_pixels.weight' does not fit into torch.float16"):
        Pipeline.from_pretrained(tmp_path / "m", "cpu", torch.float16)
    assert (
        Pipeline.from_pretrained(tmp_path / "m", "cpu", torch.bfloat16)
        .codec.to_pixels.weight.isfinite()
        .all()
    )
    with pytest.raises(ValueError, match="dtype must be one of torch.float32, torch.float16, torch.bfloat16"):
        Pipeline.from_pretrained(tmp_path / "m", "cpu", torch.int8)


def test_opening_makes_no_random_weights(tiny, tmp_path):
    """Of a large model nothing is made but the tensors that are read."""
    Pipeline.save(tmp_path / "m", tiny.codec, tiny.backbone.model, tiny.prompts, tiny.config)
    before = torch.get_rng_state()
    pipe = Pipeline.from_pretrained(tmp_path / "m", "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    for part in (pipe.codec, pipe.backbone.model):
        assert {x.device.type for x in [*part.parameters(), *part.buffers()]} == {"cpu"}
        assert all(p.requires_grad for p in part.parameters())


def test_a_module_with_numbers_keeps_its_tensors(tmp_path):
    """Optimisers and averages hold on to them."""
    layer, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    save_weights(other, tmp_path / "x.safetensors")
    kept = layer.weight
    load_weights(layer, tmp_path / "x.safetensors")
    assert layer.weight is kept and torch.allclose(kept, other.weight, atol=1e-3)
