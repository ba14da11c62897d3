"""The recipe of the world at 256 pixels, in small: its tokenizer, then its model, a few steps on a CPU."""

import json

import pytest
import tiny_world

from mdm_core.families.chisel.config import load_config
from mdm_core.pipeline import Pipeline
from trainer.engine.loop import Trainer
from trainer.engine.parallel import open_device
from trainer.recipes.recipe import load_recipe
from trainer.recipes.world_gpu import RECIPE
from trainer.scenes.spec import WORLD_256
from trainer.tokenizer.train import build

SMALL = (
    "model.width=32 model.heads=2 model.kv_heads=2 model.depth=1 model.ffn=32 model.token_width=32 model.token_heads=2 "
    "model.token_ffn=32 model.text_vocab_size=1000 data.workers=0 data.batch_size=2 minutes=0 steps=2 compile=False "
    "sheet_every=0 log_every=1 validate_every=2 self_flip_steps=0"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recipe")


def wanted(atlas, width):
    """The command line of a small tokenizer of the world."""
    layers = f"--encoder-width {width} --decoder-width 16 --decoder-depth 1"
    run = "--world world_256 --steps 2 --batch 2 --measure-on 2 --device cpu"
    return [*run.split(), *layers.split(), "--atlas", str(atlas)]


def test_the_model_fits_the_tokenizer_of_its_world():
    assert RECIPE.model.grid == WORLD_256.grid == 32 and RECIPE.data.spec == WORLD_256.name
    assert RECIPE.model.vocab_size == 16_384


def test_tokenizer_and_model_train_and_draw_at_256_pixels(folder):
    atlas = tiny_world.build(folder / "atlas")
    build([*wanted(atlas, 16), "--log-every", "1", "--out", str(folder / "codec")]).run()
    codec = load_config(folder / "codec" / "config.json")
    assert (codec.tokenizer.image_size, codec.tokenizer.grid, codec.tokenizer.vocab_size) == (256, 32, 16_384)
    record = json.loads((folder / "codec" / "tokenizer.json").read_text())
    assert record["unseen"]["scenes"]["psnr_db"] > 0

    recipe = load_recipe("world_gpu", [*SMALL, f"data.atlas={atlas}"])
    trainer = Trainer(recipe, folder / "codec", folder / "run", open_device("cpu"), None)
    trainer.run(60.0)
    trainer.export(folder / "run" / "model")
    pipe = Pipeline.from_pretrained(folder / "run" / "model")
    card = load_config(folder / "run" / "model" / "config.json").card
    assert "wheat field" in card["words"]["backgrounds"] and card["styles"] == list(tiny_world.STYLES)
    picture = pipe.decode(pipe.generate("a red cat", steps=2, seed=1).tokens)
    assert picture.size == (256, 256)


def test_a_tokenizer_of_another_shape_is_not_gone_on_with(folder):
    atlas = tiny_world.build(folder / "atlas")
    build([*wanted(atlas, 16), "--out", str(folder / "a")]).run()
    with pytest.raises(ValueError, match="another shape"):
        build([*wanted(atlas, 24), "--out", str(folder / "a")])
    with pytest.raises(ValueError, match="256 pixels a side, not 128"):
        build([*wanted(atlas, 16), "--image-size", "128", "--out", str(folder / "b")])
