"""The image tokenizer owns the lattice: a model and a recipe follow it where they were left alone."""

import pytest

from mdm_core.families.chisel.config import ImageTokenizerConfig, ModelConfig
from trainer.data.own import OwnDataConfig
from trainer.recipes.recipe import Recipe

WIDE = ImageTokenizerConfig(image_size=256, patch=8, levels=(16, 16, 16, 16))


def test_a_recipe_for_256_pixels_sets_nothing_by_hand():
    recipe = Recipe(data=OwnDataConfig(path="pictures")).for_codec(WIDE)
    m = recipe.model
    assert (m.vocab_size, m.grid, m.code_levels) == (65536, 32, (16, 16, 16, 16))
    assert recipe.data.image_size == 256 and recipe.data.path == "pictures"
    assert recipe.for_codec(WIDE) == recipe and Recipe().for_codec(ImageTokenizerConfig()) == Recipe()


def test_a_free_table_stays_one():
    assert ModelConfig(code_levels=None).for_codec(WIDE) == ModelConfig(65536, None, 32)


@pytest.mark.parametrize(
    "model,sentence",
    [
        (ModelConfig(grid=8), "grid of 32, and 65536 on 8"),
        (ModelConfig(vocab_size=64, code_levels=(8, 8)), "65536 codes on a grid of 32, and 64 on 32"),
        (ModelConfig(vocab_size=65536, code_levels=(256, 256)), "lattice of the codes"),
    ],
)
def test_what_was_set_to_something_else_is_refused(model, sentence):
    with pytest.raises(ValueError, match=sentence):
        model.for_codec(WIDE)
