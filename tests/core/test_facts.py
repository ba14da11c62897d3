"""What everyone may know of a model, and the fingerprint: the same weights have the same name wherever they lie."""

import dataclasses

import pytest
import torch

from mdm_core.facts import Facts, Fingerprint
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
