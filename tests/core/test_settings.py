"""Settings check themselves wherever they are built, and numbers of NumPy and PyTorch become Python's own."""

import dataclasses
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import codec_folder, tiny_recipe

from mdm_core.diffusion.corruption import CorruptionConfig
from mdm_core.diffusion.sampler import check_seed
from mdm_core.diffusion.trajectory import Trajectory
from mdm_core.families.chisel.config import (
    ImageTokenizerConfig,
    ModelConfig,
    PipelineConfig,
    load_config,
    save_config,
)
from mdm_core.families.chisel.text import TextTokenizer
from mdm_core.families.weights import load_weights, save_weights
from mdm_core.pipeline import Pipeline
from mdm_core.settings import SampleConfig
from trainer.engine.loop import Trainer

WRONG = [
    (SampleConfig, {"steps": -3}, "steps must be a whole number from 1 to 256, got -3"),
    (SampleConfig, {"order": "x"}, "order must be one of .*, got 'x'"),
    (SampleConfig, {"order": ["random"]}, "order must be one of"),
    (SampleConfig, {"top_k": np.int64(0)}, "top_k must be a whole number of 1 or more, got 0"),
    (SampleConfig, {"top_k": True}, "top_k must be"),
    (SampleConfig, {"steps": np.bool_(True)}, "steps must be a whole number"),
    (SampleConfig, {"guidance": np.float32("nan")}, "guidance must be a number from 0 to 50, got nan"),
    (SampleConfig, {"guidance": torch.zeros(2)}, "guidance must be a number"),
    (SampleConfig, {"edit_window": np.array([0.8, 0.2])}, "edit_window must be two rising numbers"),
    (ImageTokenizerConfig, {"image_size": 0}, "image_size must be a whole number from 1 to 65536, got 0"),
    (ImageTokenizerConfig, {"patch": 0}, "patch must be a whole number"),
    (ImageTokenizerConfig, {"patch": -8}, "patch must be a whole number"),
    (
        ImageTokenizerConfig,
        {"levels": (8, 1)},
        "each of levels must be a whole number from 2 to 65536, got 1",
    ),
    (ImageTokenizerConfig, {"levels": ()}, "levels must be 1 to 16 whole numbers"),
    (ImageTokenizerConfig, {"levels": 8}, "levels must be 1 to 16 whole numbers, got 8"),
    (ImageTokenizerConfig, {"levels": (65536, 65536)}, "levels must multiply to at most"),
    (ImageTokenizerConfig, {"decoder_width": 0}, "decoder_width must be"),
    (ImageTokenizerConfig, {"decoder_depth": -1}, "decoder_depth must be"),
    (ModelConfig, {"resample": 0}, "resample must be a whole number from 1 to 4096, got 0"),
    (ModelConfig, {"width": 0}, "width must be a whole number from 1 to .*, got 0"),
    (ModelConfig, {"heads": 0}, "heads must be"),
    (ModelConfig, {"kv_heads": -1}, "kv_heads must be"),
    (ModelConfig, {"depth": 2.5}, "depth must be a whole number from 0 to 10000, got 2.5"),
    (ModelConfig, {"rope_base": 0}, "rope_base must be a number"),
    (ModelConfig, {"code_levels": (8, 8)}, "do not multiply to vocab_size"),
    (ModelConfig, {"code_levels": "88884"}, "code_levels must be 1 to 16 whole numbers"),
    (ModelConfig, {"grid": True}, "grid must be"),
    (ModelConfig, {"vocab_size": 1, "code_levels": None}, "vocab_size must be a whole number from 2"),
    (CorruptionConfig, {"flip": -0.1}, "flip must be"),
    (CorruptionConfig, {"flip": float("nan")}, "flip must be a number from 0"),
    (CorruptionConfig, {"flip_group": -1}, "flip_group must be a number from 0"),
    (CorruptionConfig, {"schedule": "sine"}, "schedule must be one of cosine, .*, got 'sine'"),
    (CorruptionConfig, {"complementary": "no"}, "complementary must be True or False, got 'no'"),
]


@pytest.mark.parametrize("kind,values,sentence", WRONG)
def test_wrong_settings_are_refused_when_they_are_built(kind, values, sentence):
    for build in (lambda: kind(**values), lambda: dataclasses.replace(kind(), **values)):
        with pytest.raises(ValueError, match=sentence) as error:
            build()
        assert "\n" not in str(error.value)


NUMBERS = {
    "steps": np.int64(2),
    "guidance": np.float32(1.5),
    "temperature": np.float64(0.5),
    "top_k": np.int64(5),
    "top_p": np.float16(0.5),
    "edit_window": (np.float32(0), np.float32(1)),
    "polish": torch.tensor(1),
    "edit_budget": torch.tensor(0.25),
    "edit_cap": np.array(3),
    "edit_threshold": np.array(0.5),
    "gumbel": np.uint8(1),
    "order": np.str_("random"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_sweep_with_numpy_can_be_saved(tiny, tmp_path, name):
    settings = {"steps": 2, "polish": 0, name: NUMBERS[name]}
    for run in (
        tiny.generate("a cat", seed=np.uint32(7), **settings),
        tiny.generate_batch(["a cat"], [np.int64(7)], **settings)[0],
    ):
        run.save(tmp_path / "run.json")
        kept = Trajectory.load(tmp_path / "run.json").settings
        assert kept["seed"] == 7 and type(run.settings["seed"]) is int
        assert type(run.settings[name]) in (int, float, str, tuple)
        again = tiny.generate("a cat", **kept)
        assert np.array_equal(again.tokens, run.tokens)


def test_a_setting_put_into_a_record_by_hand_is_saved_too(tiny, tmp_path):
    run = tiny.generate("a cat", steps=1, polish=0)
    run.settings["score"] = np.float32(0.5)
    run.save(tmp_path / "run.json")
    assert Trajectory.load(tmp_path / "run.json").settings["score"] == 0.5


def test_seeds_of_every_kind():
    for seed in (7, np.int64(7), np.uint8(7), np.array(7), torch.tensor(7)):
        assert check_seed(seed) == 7 and type(check_seed(seed)) is int
    for seed in (
        7.0,
        np.float64(7),
        True,
        np.bool_(1),
        "7",
        None,
        -1,
        2**32,
        np.int64(-1),
        torch.tensor([7, 8]),
    ):
        with pytest.raises(ValueError, match="the seed must be a whole number"):
            check_seed(seed)


def test_a_codec_and_a_model_of_other_lattices_are_no_pair(tiny, tmp_path):
    model = dataclasses.replace(tiny.config.model, code_levels=(2, 4, 4))
    pair = PipelineConfig(tiny.config.tokenizer, model)
    with pytest.raises(ValueError, match="disagree about the lattice of the codes"):
        save_config(pair, tmp_path / "config.json")
    save_config(tiny.config, tmp_path / "config.json")
    text = json.loads((tmp_path / "config.json").read_text())
    text["model"]["code_levels"] = [2, 4, 4]
    (tmp_path / "config.json").write_text(json.dumps(text))
    with pytest.raises(ValueError, match="config.json cannot be used: .* disagree about the lattice"):
        load_config(tmp_path / "config.json")
    text["model"]["code_levels"] = None  # a free table has no lattice to disagree about
    (tmp_path / "config.json").write_text(json.dumps(text))
    assert load_config(tmp_path / "config.json").model.code_levels is None


def test_training_refuses_a_codec_of_another_lattice(tmp_path):
    codec_folder(tmp_path / "codec")
    recipe = tiny_recipe()
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, code_levels=(2, 4, 4)))
    with pytest.raises(ValueError, match=r"levels \(4, 4, 2\), and code_levels \(2, 4, 4\)"):
        Trainer(recipe, tmp_path / "codec", tmp_path / "run", torch.device("cpu"))


def test_home_is_understood_in_every_path(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    model, codec, text = tiny.backbone.model, tiny.codec, tiny.prompts
    Pipeline.save("~/model", codec, model, text, tiny.config)
    run = Pipeline.from_pretrained("~/model", "cpu").generate("a cat", steps=1, polish=0)
    run.save("~/run.json")
    assert Trajectory.load("~/run.json").prompt == "a cat"
    save_config(tiny.config, "~/c.json")
    assert load_config("~/c.json") == tiny.config
    save_weights(codec, "~/w.safetensors")
    load_weights(codec, "~/w.safetensors")
    text.save("~/t.json")
    assert TextTokenizer.load("~/t.json", 12).vocab_size == text.vocab_size
    assert sorted(os.listdir(tmp_path)) == ["c.json", "model", "run.json", "t.json", "w.safetensors"]
    with pytest.raises(ValueError, match="~nobody.* is no model folder"):
        Pipeline.from_pretrained("~nobody-at-all/model")


def test_the_command_line_understands_home_too(tiny, tmp_path, monkeypatch):
    from mdm_core.__main__ import main

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Pipeline.save("~/model", tiny.codec, tiny.backbone.model, tiny.prompts, tiny.config)
    said = ["a cat", "--steps", "1", "--model", "~/model", "--out", "~/x.png", "--trajectory", "~/x.json"]
    assert main(said) == 0
    assert sorted(os.listdir(tmp_path)) == ["model", "x.json", "x.png"]
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (32, 32)
