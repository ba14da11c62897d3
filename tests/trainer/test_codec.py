"""One way to open the image tokenizer of a model folder: training, tokens and evidence take the same."""

import re
from pathlib import Path

import pytest
import torch
from tiny_model import build_tiny

from mdm_core.families.chisel.config import ModelConfig
from mdm_core.pipeline import Pipeline
from trainer.codec import WEIGHTS, open_codec
from trainer.recipes.recipe import Recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    config, codec, model, text = build_tiny()
    Pipeline.save(tmp_path, codec, model, text, config)
    return tmp_path


def test_it_encodes_and_decodes_as_the_pipeline_s(folder):
    codec, pipe = open_codec(folder), Pipeline.from_pretrained(folder, "cpu")
    side = codec.config.image_size
    pixels = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    assert not codec.training and torch.equal(codec.encode(pixels), pipe.codec.encode(pixels))


def test_a_recipe_of_another_lattice_is_refused(folder):
    codec = open_codec(folder).config
    assert Recipe().for_codec(codec).model.vocab_size == codec.vocab_size
    with pytest.raises(ValueError, match="disagree about vocabulary or grid"):
        Recipe(model=ModelConfig(vocab_size=64, code_levels=(8, 8))).for_codec(codec)


def test_other_levels_change_the_codes_and_not_the_weights(folder):
    codec = open_codec(folder)
    fewer = tuple(2 for _ in codec.config.levels)
    other = open_codec(folder, levels=fewer)
    assert other.config.levels == fewer and other.vocab_size == 2 ** len(fewer)
    assert all(torch.equal(a, b) for a, b in zip(codec.parameters(), other.parameters(), strict=True))


def test_what_is_missing_or_damaged_is_named(folder):
    (folder / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(ValueError, match=WEIGHTS):
        open_codec(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=WEIGHTS):
        open_codec(folder)


def test_nobody_in_the_trainer_opens_one_by_hand():
    hand = re.compile(r"load_weights\([^)]*" + re.escape(WEIGHTS))
    found = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "trainer").rglob("*.py"))
        if hand.search(path.read_text("utf-8"))
    ]
    assert found == []
