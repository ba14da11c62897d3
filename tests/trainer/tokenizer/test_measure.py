"""Measuring image tokenizers: unseen scenes of either world, photographs of the tokenizer's own size."""

import json
import sys

import numpy as np
import pytest
import tiny_world
import tiny_world_model
import torch
from PIL import Image

from mdm_core.families.chisel.config import ImageTokenizerConfig
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer, psnr
from trainer.codec import open_codec
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.bank import FreeBank
from trainer.scenes.spec import WORLD_256
from trainer.tokenizer import measure
from trainer.tokenizer.data import held_out_pictures
from trainer.tokenizer.fidelity import round_trip
from trainer.tokenizer.measure import scenes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def atlas(folder):
    return Atlas.load(tiny_world.build(folder / "atlas"))


@pytest.fixture(scope="module")
def model(folder, atlas):
    return tiny_world_model.build_model(folder / "model", [o.name for o in atlas.objects])


@pytest.fixture(scope="module")
def pictures(folder):
    """120 pictures of several sizes."""
    (folder / "pictures" / "patterns").mkdir(parents=True)
    for i in range(120):
        small = np.random.default_rng(i).integers(0, 256, (5, 5, 3), np.uint8)
        Image.fromarray(small).resize((270 + i, 300)).save(folder / "pictures" / "patterns" / f"{i}.png")
    return folder / "pictures"


def test_scenes_of_the_world_are_unseen_and_free_where_asked(atlas):
    bank = FreeBank(atlas, WORLD_256)
    some = scenes(atlas, bank, 6)
    assert some.shape == (6, 256, 256, 3) and torch.equal(some, scenes(atlas, bank, 6))
    assert not torch.equal(some, scenes(atlas, bank, 6, free=True))


def test_the_command_measures_at_256_pixels(monkeypatch, folder, atlas, model, pictures):
    out = folder / "measured.json"
    words = ["--model", model, model, "--world", "world_256", "--atlas", atlas.root, "--scenes", 6]
    words += ["--photos", pictures, "--sheet", folder / "sheet.png", "--out", out]
    monkeypatch.setattr(sys, "argv", ["measure", *map(str, words)])
    measure.main()
    first, second = json.loads(out.read_text())["tokenizers"]
    assert first["tokens_as_first"] == second["tokens_as_first"] == 1.0
    assert first["world"] == "world_256" and first["objects"] == 12 and first["images"] == 6
    for told in (first, first["free"], first["photos"]):
        assert 0 < told["psnr_p05_db"] <= told["psnr_db"] < 30
    assert first["free"]["images"] == 6 and first["photos"]["images"] < 12, (
        "the part that training leaves out"
    )
    # a token of ours is made of its own pixels alone
    assert first["kept_place"] == first["kept_background"] == 1.0 and first["cells_place"] > 100
    held = held_out_pictures(pictures, 256)
    assert held.shape[1:] == (256, 256, 3) and len(held) == first["photos"]["images"]
    codec = open_codec(model)
    assert first["photos"]["psnr_db"] == pytest.approx(
        float(psnr(round_trip(codec, held)[0], held).mean()), abs=2e-3
    )
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.size[0] % 256 == 0


def test_patches_may_be_larger_than_those_of_the_world(atlas):
    torch.manual_seed(0)
    codec = ImageTokenizer(ImageTokenizerConfig(256, 16, (4, 4, 2), 16, 16, 1, 4)).eval()
    found = measure.free_consistency(codec, FreeBank(atlas, WORLD_256), 2)
    assert found["kept_place"] == found["kept_background"] == 1.0 and found["cells_place"] > 10


def test_a_world_of_another_size_is_refused_with_the_one_that_fits(model):
    with pytest.raises(
        ValueError, match="is for pictures of 256 pixels a side.*emoji_128 have 128: try --world world"
    ):
        measure.report(model)
