"""Folders of aMUSEd that are wrong in some way: one sentence that names the file, from library and command alike."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from folder_hands import change, weights

from mdm_core import families
from mdm_core.__main__ import main
from mdm_core.pipeline import Pipeline

TWIN = Path(__file__).parents[2] / "golden" / "amused" / "plain"
MODEL, VQ, TEXT = (
    "transformer/diffusion_pytorch_model.safetensors",
    "vqvae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(TWIN, tmp_path / "model"))


def refused(folder: Path, sentence: str, capsys) -> None:
    """By the library, and by the command with status 2 and no picture."""
    with pytest.raises(ValueError, match=sentence) as caught:
        Pipeline.from_pretrained(folder, "cpu")
    assert "\n" not in str(caught.value)
    out = folder.parent / "picture.png"
    assert main(["a fox", "--model", str(folder), "--out", str(out), "--device", "cpu"]) == 2
    said = capsys.readouterr()
    assert said.err == f"error: {caught.value}\n" and not said.out and not out.exists()


@pytest.mark.parametrize(
    "name",
    [
        "transformer/config.json",
        "vqvae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        MODEL,
        VQ,
        TEXT,
    ],
)
def test_missing_files_are_named(folder, name, capsys):
    (folder / name).unlink()
    refused(folder, f"{name} is missing from the model folder", capsys)


@pytest.mark.parametrize(
    "name", ["diffusion_pytorch_model.bin", "pytorch_model.pt", "weights.pth", "model.ckpt"]
)
def test_pickles_are_not_read(folder, name, capsys):
    (folder / VQ).rename(folder / "vqvae" / name)
    refused(
        folder, "are pickles, which can run any program: take a copy of the model with .safetensors", capsys
    )


@pytest.mark.parametrize(
    "kind",
    [
        "StableDiffusionPipeline",
        "AmusedPipelin",
        "../AmusedPipeline",
        "os.system",
        None,
        3,
        ["AmusedPipeline"],
    ],
)
def test_foreign_classes_are_named(folder, kind, capsys):
    change(folder / "model_index.json", _class_name=kind)
    refused(folder, "which does not open here; what opens are aMUSEd, Meissonic, Monetico and", capsys)
    with pytest.raises(ValueError, match="does not open here"):
        families.facts(folder)


@pytest.mark.parametrize("kind", ["AmusedInpaintPipeline", "AmusedImg2ImgPipeline"])
def test_pipelines_of_the_same_parts_open(folder, kind):
    change(folder / "model_index.json", _class_name=kind)
    assert families.facts(folder).name == "aMUSEd 32"


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "transformer/config.json",
        "tokenizer/vocab.json",
        "tokenizer/tokenizer_config.json",
    ],
)
@pytest.mark.parametrize("data", [b"", b"[1]", b"null", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_files_that_are_no_json_object(folder, name, data, capsys):
    (folder / name).write_bytes(data)
    refused(folder, f"{name} cannot be read: ", capsys)


@pytest.mark.parametrize(
    "part,key,value",
    [
        ("transformer", "hidden_size", 0),
        ("transformer", "hidden_size", "24"),
        ("transformer", "hidden_size", 25),
        ("transformer", "hidden_size", 10**30),
        ("transformer", "hidden_size", True),
        ("transformer", "num_hidden_layers", 10**9),
        ("transformer", "sample_size", -1),
        ("transformer", "sample_size", 1.5),
        ("transformer", "downsample", True),
        ("transformer", "upsample", 1),
        ("transformer", "use_bias", True),
        ("transformer", "ln_elementwise_affine", False),
        ("transformer", "layer_norm_eps", "x"),
        ("transformer", "layer_norm_eps", float("nan")),
        ("transformer", "micro_cond_embed_dim", 21),
        ("transformer", "vocab_size", 130),
        ("vqvae", "block_out_channels", []),
        ("vqvae", "block_out_channels", 8),
        ("vqvae", "block_out_channels", [4, "8"]),
        ("vqvae", "block_out_channels", [4, 7]),
        ("vqvae", "block_out_channels", [4] * 40),
        ("vqvae", "layers_per_block", 0),
        ("vqvae", "norm_type", "spatial"),
        ("vqvae", "mid_block_add_attention", ...),
        ("vqvae", "lookup_from_codebook", False),
        ("vqvae", "vq_embed_dim", 0),
        ("vqvae", "norm_num_groups", 0),
        ("text_encoder", "num_attention_heads", 3),
        ("text_encoder", "num_hidden_layers", 0),
        ("text_encoder", "hidden_act", "relu"),
        ("text_encoder", "eos_token_id", None),
        ("scheduler", "masking_schedule", "sine"),
        ("scheduler", "mask_token_id", ...),
        ("scheduler", "mask_token_id", "135"),
    ],
)
def test_settings_that_are_none(folder, part, key, value, capsys):
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    change(path, **{key: value})
    refused(folder, f"{path.name} cannot be used: ", capsys)


@pytest.mark.parametrize(
    "part,key,value,sentence",
    [
        ("vqvae", "num_vq_embeddings", 131, "speaks 130 codes and the VQ-GAN 131"),
        ("scheduler", "mask_token_id", 129, "mask_token_id must lie in 130..143"),
        ("scheduler", "mask_token_id", 144, "mask_token_id must lie in 130..143"),
        (
            "text_encoder",
            "projection_dim",
            13,
            "of width 16 and 12, and the text encoder writes 16 and 13",
        ),
    ],
)
def test_parts_that_do_not_fit_each_other(folder, part, key, value, sentence, capsys):
    change(
        folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json"), **{key: value}
    )
    refused(folder, sentence, capsys)


@pytest.mark.parametrize("name", [MODEL, VQ, TEXT])
@pytest.mark.parametrize(
    "edit,sentence",
    [
        (lambda s: s.pop(sorted(s)[0]), r"is missing \(1 keys in all\)"),
        (lambda s: s.update(more=torch.zeros(1)), r"'more' does not belong to this model \(1 keys in all\)"),
        (
            lambda s: s.update({k: v[..., :-1].clone() for k, v in [sorted(s.items())[0]]}),
            "where the configuration asks for",
        ),
        (
            lambda s: s.update({k: torch.full_like(v, torch.nan) for k, v in [sorted(s.items())[-1]]}),
            "not finite",
        ),
        (lambda s: s.update({k: v.int() for k, v in [sorted(s.items())[0]]}), "expected floating point"),
    ],
    ids=["missing", "extra", "misshapen", "nan", "integers"],
)
def test_weights_that_do_not_fit(folder, name, edit, sentence, capsys):
    weights(folder / name, edit)
    refused(folder, sentence, capsys)


@pytest.mark.parametrize("data", [b"", b"junk", b"\xff" * 64, b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_weights_that_are_no_safetensors(folder, data, capsys):
    (folder / MODEL).write_bytes(data)
    refused(folder, "diffusion_pytorch_model.safetensors cannot be used: ", capsys)


def test_a_buffer_that_early_files_hold_is_passed_over(folder):
    weights(folder / TEXT, lambda s: s.update({"text_model.embeddings.position_ids": torch.arange(77)[None]}))
    assert Pipeline.from_pretrained(folder, "cpu").prompts.encode(["a"]).pooled.shape == (1, 12)


@pytest.mark.parametrize(
    "edit",
    [
        lambda f: (f / "vocab.json").write_text("{}"),
        lambda f: (f / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": "1"})),
        lambda f: (f / "vocab.json").write_text(json.dumps({"<|startoftext|>": 0, "<|endoftext|>": -1})),
        lambda f: (f / "merges.txt").write_text("a b c\n"),
        lambda f: (f / "merges.txt").write_text("nothing here</w>\n"),
        lambda f: change(f / "tokenizer_config.json", pad_token="<nowhere>"),
        lambda f: change(f / "tokenizer_config.json", pad_token=[1]),
    ],
)
def test_vocabularies_that_are_none(folder, edit, capsys):
    edit(folder / "tokenizer")
    refused(folder, "tokenizer", capsys)


def test_a_vocabulary_larger_than_the_text_encoder(folder, capsys):
    path = folder / "tokenizer" / "vocab.json"
    change(path, more=10_000)
    refused(folder, "has more ids than the text encoder", capsys)


def test_a_folder_that_is_a_file(folder, capsys):
    shutil.rmtree(folder / "transformer")
    (folder / "transformer").write_text("x")
    refused(folder, "transformer", capsys)
