"""A score that is made over hours: what is done is kept, in a fair order, and never mixed with other weights."""

from collections import Counter

import numpy as np
import pytest

from trainer.evaluate import generate as module
from trainer.evaluate.generate import generate_on, in_turns
from trainer.evaluate.prompts import load


@pytest.fixture
def prompts():
    import dataclasses

    return [dataclasses.replace(p, prompt="a cat") for p in load(limit=4)]  # short enough for `tiny`


def test_any_beginning_is_a_fair_sample():
    order = in_turns(load())
    assert len(order) == 2400 and len({p.index for p in order}) == 2400
    for n in (12, 120, 600):
        assert set(Counter(p.tag for p in order[:n]).values()) == {n // 6}
        split = Counter(p.split for p in order[:n] if p.tag == "counting")
        assert split["seen"] == split["held_out"]


def test_pictures_are_kept_and_not_made_again(tiny, prompts, tmp_path, monkeypatch):
    path, calls = tmp_path / "kept.safetensors", []
    real = module.generate

    def counted(pipe, texts, seeds, **settings):
        calls.extend(seeds)
        return real(pipe, texts, seeds, **settings)

    monkeypatch.setattr(module, "generate", counted)
    done, first = generate_on(tiny, prompts[:6], path, None, "weights 1", 4, steps=2)
    assert done == prompts[:6] and sorted(calls) == [p.index for p in prompts[:6]]
    done, both = generate_on(tiny, prompts[:10], path, None, "weights 1", 4, steps=2)
    assert done == prompts[:10] and len(calls) == 10, "only the new ones"
    assert np.array_equal(both.tokens[:6], first.tokens) and both.edits[:6] == first.edits
    again = tiny.generate("a cat", seed=prompts[3].index, steps=2)
    assert np.array_equal(both.tokens[3], again.tokens)
    generate_on(tiny, prompts[:2], path, None, "weights 2", 4, steps=2)
    assert len(calls) == 12, "other weights make their own"


def test_time_that_is_up_leaves_the_rest_out(tiny, prompts, tmp_path):
    path = tmp_path / "kept.safetensors"
    generate_on(tiny, prompts[:6], path, None, "w", 2, steps=2)
    done, made = generate_on(tiny, prompts, path, 0.0, "w", 2, steps=2)
    assert done == prompts[:6] and len(made.images) == 6
