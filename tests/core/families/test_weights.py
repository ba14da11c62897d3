"""Model folders: what is saved opens again; anything else is refused with the file and the key named."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import build_tiny

from mdm_core.families.chisel.config import load_config
from mdm_core.families.weights import FORMAT, load_weights, save_weights
from mdm_core.pipeline import Pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    config, codec, model, text = build_tiny()
    Pipeline.save(path, codec, model, text, config)
    return path


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


def test_round_trip(folder, tiny):
    again = Pipeline.from_pretrained(folder)
    assert again.config == tiny.config
    a, b = (p.generate("a cat", seed=2, steps=4) for p in (tiny, again))
    assert (a.tokens == b.tokens).mean() > 0.5  # fp16 storage may move a rare near-tie, and what follows it
    assert again.generate("a cat", seed=2, steps=4).image.size == (32, 32)


def test_int8_storage_is_close_and_small(tmp_path):
    layer = torch.nn.Linear(512, 512)
    save_weights(layer, tmp_path / "a.safetensors", int8=True)
    save_weights(layer, tmp_path / "b.safetensors")
    again = torch.nn.Linear(512, 512)
    load_weights(again, tmp_path / "a.safetensors")
    worst = layer.weight.abs().amax(1, keepdim=True) / 254
    assert ((again.weight - layer.weight).abs() <= worst * 1.001).all()
    assert (tmp_path / "a.safetensors").stat().st_size < 0.52 * (tmp_path / "b.safetensors").stat().st_size


def rewrite(path, change, metadata=FORMAT):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=metadata)


@pytest.mark.parametrize(
    "change,sentence",
    [
        (lambda t: t.pop("norm.weight"), "'norm.weight' is missing"),
        (lambda t: t.update(stray=torch.zeros(2)), "'stray' does not belong"),
        (lambda t: t.update({"norm.weight": torch.zeros(3)}), "'norm.weight' has shape"),
        (lambda t: t.update({"norm.weight": torch.zeros(32, dtype=torch.int64)}), "dtype"),
        (lambda t: t.update({"norm.weight": torch.full((32,), float("nan"))}), "not finite"),
        (lambda t: t.update({"norm.weight": torch.zeros(32, dtype=torch.int8)}), "row scales are missing"),
    ],
)
def test_wrong_tensors_are_named(copy, change, sentence):
    rewrite(copy / "model.safetensors", change)
    with pytest.raises(ValueError, match=sentence) as caught:
        Pipeline.from_pretrained(copy)
    assert "model.safetensors" in str(caught.value)


def test_foreign_and_damaged_files(copy):
    file = copy / "model.safetensors"
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"\xff" * 8 + whole[8:], b"PK\x03\x04 pickle", whole[:-1]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="model.safetensors cannot be used"):
            Pipeline.from_pretrained(copy)
    file.write_bytes(whole)
    rewrite(file, lambda t: None, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="not saved by this program"):
        Pipeline.from_pretrained(copy)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "image_tokenizer.safetensors", "text.json"]
)
def test_missing_files_are_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(ValueError, match=name):
        Pipeline.from_pretrained(copy)


@pytest.mark.parametrize(
    "change,sentence",
    [
        (lambda c: c.update(format_version=9), "format version"),
        (lambda c: c["model"].update(colour=1), "unknown keys"),
        (lambda c: c["model"].update(width=33), "multiple of heads"),
        (lambda c: c["model"].update(grid=8), "disagree"),
        (lambda c: c.update(model=[]), "cannot be used"),
    ],
)
def test_wrong_configurations_are_named(copy, change, sentence):
    config = json.loads((copy / "config.json").read_text())
    change(config)
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=sentence):
        load_config(copy / "config.json")


def test_a_text_file_that_is_no_vocabulary(copy):
    (copy / "text.json").write_text("[]")
    with pytest.raises(ValueError, match="text.json is no prompt vocabulary"):
        Pipeline.from_pretrained(copy)


def test_broken_weights_are_never_saved(tmp_path):
    layer = torch.nn.Linear(2, 2)
    layer.weight.data[0, 0] = float("inf")
    with pytest.raises(ValueError, match="not finite"):
        save_weights(layer, tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()


def test_saved_weights_hold_no_pickle(folder):
    assert np.all([f.suffix in (".json", ".safetensors") for f in folder.iterdir()])


@pytest.mark.parametrize(
    "values,kind",
    [
        ([0.1, -3.0, 65504.0], torch.float16),
        ([0.1, -3.0, 70000.0], torch.float32),
        ([0.5, -3.0, 2.0**20], torch.bfloat16),  # exact there, as in a checkpoint that was bf16
        ([1e-9, -2e-9, 3e-9], torch.float32),  # fp16 would make zeros of them
        ([1e-7, 3.3e-6, 1.1e-6], torch.float32),  # and of these, numbers of few bits
        ([0.0, 0.0, 0.0], torch.float16),
        ([1.0, 0.3, 1e-9], torch.float16),  # one that vanishes beside others is rounding
        ([1e38, 0.1, -1e-38], torch.float32),
    ],
)
def test_weights_that_fp16_would_lose_are_stored_wider(tmp_path, values, kind):
    layer, again = torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)
    layer.weight.data = torch.tensor([values])
    layer.bias.data.zero_()
    save_weights(layer, tmp_path / "x.safetensors")
    assert load_file(tmp_path / "x.safetensors")["weight"].dtype == kind
    load_weights(again, tmp_path / "x.safetensors")
    assert again.weight.dtype == torch.float32
    off = (again.weight - layer.weight).double().norm() / max(layer.weight.double().norm(), 1e-300)
    assert off <= (2**-11 if kind == torch.float16 else 0)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1.0, 1e6, 1e30])
def test_eight_bits_keep_rows_of_every_size(tmp_path, size):
    layer, again = torch.nn.Linear(64, 128), torch.nn.Linear(64, 128)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(128, 64, generator=torch.Generator().manual_seed(0)) * size)
        layer.weight[3] = 0
    save_weights(layer, tmp_path / "x.safetensors", int8=True)
    load_weights(again, tmp_path / "x.safetensors")
    row = layer.weight.abs().amax(1, keepdim=True)
    assert ((again.weight - layer.weight).abs() <= row / 253).all()


def test_eight_bits_do_not_overflow(tmp_path):
    layer = torch.nn.Linear(64, 128)
    layer.weight.data.fill_(torch.finfo(torch.float32).max)
    try:
        save_weights(layer, tmp_path / "x.safetensors", int8=True)
    except ValueError as error:
        assert "without int8" in str(error)
        return
    load_weights(torch.nn.Linear(64, 128), tmp_path / "x.safetensors")  # what was saved opens


def test_a_folder_with_a_huge_weight_opens(tmp_path):
    config, codec, model, text = build_tiny()
    with torch.no_grad():
        codec.to_pixels.weight[0, 0] = 1e6
    Pipeline.save(tmp_path / "m", codec, model, text, config)
    pipe = Pipeline.from_pretrained(tmp_path / "m", "cpu")
    assert pipe.codec.to_pixels.weight[0, 0] == 1e6
