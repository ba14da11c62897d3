"""The learned codebook: its gradient, its tiles, and image tokenizers that have one."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from tiny_model import build_tiny

from mdm_core.families.chisel import codebook
from mdm_core.families.chisel.codebook import IndexCodebook, choose
from mdm_core.families.chisel.config import (
    ImageTokenizerConfig,
    ModelConfig,
    PipelineConfig,
    check_pair,
    load_config,
    save_config,
)
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.chisel.transformer import MaskedDiffusionTransformer
from mdm_core.groups import Groups
from mdm_core.pipeline import Pipeline

LEARNED = ImageTokenizerConfig(32, 8, (4, 4, 2), 32, 16, 1, 4, codebook=32, code_width=5)


def plainly(rows, codes):
    """`choose` as it is written on paper, with every product stored."""
    p = (rows @ codes.T).softmax(1)
    hard = F.one_hot(p.argmax(1), len(codes)).to(p)
    index = hard - p.detach() + p
    doubt = -(p * p.log()).sum(1).mean()
    mean = p.mean(0)
    return index @ codes, doubt, -(mean * mean.log()).sum()


@pytest.mark.parametrize("tile", [1, 7 * 4 * 11, 1 << 20])
def test_values_and_gradients_are_those_of_the_formula_whatever_the_tile(tile, monkeypatch):
    monkeypatch.setitem(codebook.TILE_BYTES, "cpu", tile)
    g = torch.Generator().manual_seed(0)
    rows = torch.randn(23, 5, generator=g, dtype=torch.float64)
    codes = F.normalize(torch.randn(11, 5, generator=g, dtype=torch.float64), dim=1)
    weights = torch.randn(23, 5, generator=g, dtype=torch.float64)
    found = []
    for function in (choose, plainly):
        a, b = rows.clone().requires_grad_(), codes.clone().requires_grad_()
        chosen, doubt, use = function(a, b)
        ((chosen * weights).sum() + 0.7 * doubt - 1.3 * use).backward()
        found.append([chosen, doubt, use, a.grad, b.grad])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_every_code_learns_and_ids_are_the_nearest_codes():
    torch.manual_seed(0)
    book = IndexCodebook(50, 6)
    z = torch.randn(2, 3, 4, 6)
    chosen, besides = book.learn(z)
    (chosen.square().sum() + chosen.sum() + besides).backward()
    assert (book.weight.grad.abs().sum(1) > 0).all()
    near = torch.cdist(F.normalize(z, dim=-1).view(-1, 6), book.codebook()).argmin(1).view(2, 3, 4)
    assert torch.equal(book.ids(z), near)
    assert torch.allclose(book.codes(near), chosen) and book.codes(near).shape == z.shape
    assert torch.allclose(book.codebook().norm(dim=1), torch.ones(50))


def test_a_choice_that_is_sure_and_spread_costs_less():
    book = IndexCodebook(4, 4)
    book.weight.data = torch.eye(4)
    spread, alike = torch.eye(4) * 3, torch.eye(4)[:1].expand(4, 4) * 3
    assert book.learn(spread)[1] < book.learn(alike)[1]
    assert book.learn(spread)[1] < book.learn(spread * 0.05)[1]


def test_config_says_so_and_old_ones_open(tmp_path):
    model = dataclasses.replace(ModelConfig(grid=4), grid=4).for_codec(LEARNED)
    assert (LEARNED.vocab_size, LEARNED.levels) == (32, ()) and model.code_levels is None
    save_config(PipelineConfig(LEARNED, model), tmp_path / "config.json")
    assert load_config(tmp_path / "config.json").tokenizer == LEARNED
    told = json.loads((tmp_path / "config.json").read_text())
    del told["tokenizer"]["codebook"], told["tokenizer"]["code_width"]
    told["tokenizer"]["levels"], told["model"]["code_levels"] = [4, 4, 2], [4, 4, 2]
    (tmp_path / "config.json").write_text(json.dumps(told))
    assert load_config(tmp_path / "config.json").tokenizer.levels == (4, 4, 2)
    with pytest.raises(ValueError, match="on no lattice"):
        check_pair(LEARNED, dataclasses.replace(model, code_levels=(4, 4, 2)))
    for wrong in ({"codebook": 1}, {"codebook": -1}, {"codebook": 8, "code_width": 0}):
        with pytest.raises(ValueError, match="code"):
            ImageTokenizerConfig(**wrong)


def test_a_model_over_a_learned_codebook_is_saved_opened_and_draws(tmp_path):
    config, _, _, text = build_tiny()
    torch.manual_seed(0)
    model = dataclasses.replace(config.model, code_levels=None, vocab_size=32)
    whole = PipelineConfig(LEARNED, model)
    codec = ImageTokenizer(LEARNED).eval()
    Pipeline.save(tmp_path / "model", codec, MaskedDiffusionTransformer(model).eval(), text, whole)
    pipe = Pipeline.from_pretrained(tmp_path / "model")
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    ids = pipe.codec.encode(images)
    assert (ids == codec.encode(images)).float().mean() > 0.9  # fp16 in the file
    assert pipe.codec.levels is None and pipe.codec.decode(ids).shape == images.shape
    moved = images.roll(8, 2)  # patch-local: a patch gives the same token wherever it stands
    assert torch.equal(pipe.codec.encode(moved), ids.roll(1, 2))
    assert pipe.generate("a cat", steps=2, seed=1).image.size == (32, 32)
    assert len(pipe.facts.fingerprint) > 4
    book = pipe.codec.codebook()
    assert Groups.kmeans(book, 4).n_groups == 4 and Groups.knn(book, 8).members(3)[0] == 3
