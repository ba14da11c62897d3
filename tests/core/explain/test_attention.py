"""Where a cell looks: the shares are those that the model's own attention weighs with, and none is left out."""

import numpy as np
import pytest
import torch
from fake_family import fake_pipeline
from tiny_model import build_tiny

from mdm_core.explain.attention import able, attention
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.layers import Attention as Layer
from mdm_core.families.chisel.layers import rotary_2d
from mdm_core.pipeline import Pipeline


@pytest.fixture(scope="module")
def pipe():
    """The tiny model in fp32 whatever the processor, on a grid of 8x8, where 2x2 cells are not the whole."""
    config, codec, model, text = build_tiny(grid=8)
    return Pipeline(codec, text, TransformerBackbone(model), config)


def half_masked(pipe):
    tokens = np.arange(64).reshape(8, 8) % pipe.vocab_size
    tokens[:, ::2] = pipe.vocab_size
    return tokens


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_the_shares_weigh_the_values_as_the_layer_does(kv_heads):
    torch.manual_seed(0)
    layer = Layer(32, 4, kv_heads)
    cos, sin = rotary_2d(3, 8, 100.0, 5)
    x = torch.randn(2, 14, 32)
    out = layer(x, cos, sin)
    *_, v = layer.qkv(x).view(2, 14, -1, 8).transpose(1, 2).split([4, kv_heads, kv_heads], dim=1)
    v = v.repeat_interleave(4 // kv_heads, 1)
    for position in range(14):
        shares = layer.shares(x, cos, sin, position)
        assert shares.shape == (2, 4, 14) and torch.allclose(shares.sum(-1), torch.ones(2, 4))
        mixed = layer.out((shares[:, :, None] @ v)[:, :, 0].reshape(2, 32))
        assert torch.allclose(mixed, out[:, position], atol=1e-5)


def test_everything_a_cell_looks_at_is_told(pipe):
    told = attention(pipe, "a cat on a red background", half_masked(pipe), 19)
    assert told.names == ("a", "cat", "on", "a", "red", "background")
    assert told.words.shape == (2, 6) and told.cells.shape == (2, 64) and told.rest.shape == (2,)
    total = told.words.sum(1) + told.rest + told.cells.sum(1)
    assert total == pytest.approx([1, 1], abs=5e-3)
    assert told.reads.tolist() == [True, False]  # the layer of single cells sees no words
    assert (told.words[0] > 0).all() and told.rest[0] > 0 and (told.cells > 0).all()


def test_in_the_body_four_cells_share_a_place_and_after_it_they_do_not(pipe):
    tokens = half_masked(pipe)
    one, other, far = (attention(pipe, "a cat", tokens, cell) for cell in (0, 9, 63))
    assert np.array_equal(one.words[0], other.words[0]) and np.array_equal(one.cells[0], other.cells[0])
    assert not np.array_equal(one.words[0], far.words[0])
    assert not np.array_equal(one.cells[1], other.cells[1])
    body = one.cells[0].reshape(4, 2, 4, 2)
    assert (body == body[:, :1, :, :1]).all()


def test_it_depends_on_prompt_and_tokens_and_not_on_who_asked_before(pipe):
    tokens = half_masked(pipe)
    first = attention(pipe, "a cat", tokens, 5)
    assert not np.allclose(first.cells, attention(pipe, "two dogs", tokens, 5).cells, atol=1e-5)
    assert not np.allclose(first.cells, attention(pipe, "a cat", tokens.T, 5).cells, atol=1e-5)
    again = attention(pipe, "a cat", tokens, 5)
    assert np.array_equal(first.cells, again.cells) and np.array_equal(first.words, again.words)


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("A Red  Fox, two-tailed", ("A", "Red", "Fox", ",", "two", "-", "tailed")),
        ("café 12", ("café", "12")),
        ("猫", ("猫",)),
    ],
)
def test_words_are_as_they_were_typed(pipe, prompt, names):
    words = pipe.prompts.words(prompt)
    assert tuple(word for word, _ in words) == names
    assert sum(n for _, n in words) <= pipe.prompts.count(prompt)


def test_a_family_that_cannot_tell_says_so_and_a_wrong_cell_is_refused(pipe):
    stripes = fake_pipeline()
    assert able(pipe) and not able(stripes)
    with pytest.raises(ValueError, match="does not tell where it looks"):
        attention(stripes, "a tree", np.zeros(stripes.grid, int), 0)
    for cell in (-1, 64, 1.0, True, "3", None):
        with pytest.raises(ValueError, match=r"cell must be 0\.\.63"):
            attention(pipe, "a cat", half_masked(pipe), cell)
    with pytest.raises(ValueError, match="prompt is empty"):
        attention(pipe, "", half_masked(pipe), 0)
