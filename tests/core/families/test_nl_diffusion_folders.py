"""Folders of NL-Diffusion-Image that are wrong in some way: one sentence, from library and command alike."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from folder_hands import change, weights

from mdm_core import families
from mdm_core.__main__ import main
from mdm_core.families.nl_diffusion import folder as nl
from mdm_core.pipeline import Pipeline

GOLDEN = Path(__file__).parents[2] / "golden" / "nl_diffusion"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX, TOKENIZER = "model.safetensors.index.json", "emu3_vqvae/config.json"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(GOLDEN / "twin", tmp_path / "model"))


def mapped(folder: Path, edit) -> None:
    data = json.loads((folder / INDEX).read_text())
    edit(data["weight_map"])
    (folder / INDEX).write_text(json.dumps(data))


def refused(folder: Path, sentence: str, capsys) -> None:
    """By the library, and by the command with status 2 and no picture."""
    with pytest.raises(ValueError, match=sentence) as caught:
        Pipeline.from_pretrained(folder, "cpu")
    assert "\n" not in str(caught.value)
    capsys.readouterr()
    out = folder.parent / "picture.png"
    assert main(["a fox", "--model", str(folder), "--out", str(out), "--device", "cpu"]) == 2
    said = capsys.readouterr()
    assert said.err.endswith(f"error: {caught.value}\n") and not said.out and not out.exists()


@pytest.mark.parametrize("name", ["tokenizer.json", TOKENIZER, INDEX, FIRST, SECOND])
def test_missing_files_are_named(folder, name, capsys):
    (folder / name).unlink()
    refused(folder, f"{name} is missing from the model folder", capsys)


@pytest.mark.parametrize("name", ["tokenizer.json", TOKENIZER, INDEX])
@pytest.mark.parametrize("data", [b"", b"[1]", b"null", b"{", b"\xff\xfe\x00", b"[" * 100_000])
def test_files_that_are_no_json_object(folder, name, data, capsys):
    (folder / name).write_bytes(data)
    refused(folder, f"{name} cannot be read: ", capsys)


@pytest.mark.parametrize("kind", ["llama", "nemotron_labs_diffusion_image2", "", None, 3, ["x"], {}])
def test_other_language_models_are_named(folder, kind, capsys):
    change(folder / "config.json", model_type=kind)
    refused(folder, "which does not open here; what opens are aMUSEd, Meissonic, Monetico and NL-", capsys)
    with pytest.raises(ValueError, match="does not open here"):
        families.facts(folder)


@pytest.mark.parametrize(
    "key,value",
    [
        ("hidden_size", 0),
        ("hidden_size", "24"),
        ("hidden_size", 10**30),
        ("hidden_size", True),
        ("d_model_gen", 48),
        ("num_hidden_layers", 10**9),
        ("num_key_value_heads", 3),
        ("num_key_value_heads", 0),
        ("head_dim", 15),
        ("rms_norm_eps", float("nan")),
        ("rms_norm_eps", "x"),
        ("vocab_size", 50),
        ("mask_token_id", -1),
        ("sample_size", 7),
        ("sample_size", -8),
        ("sample_size", 4096),
        ("tokenizer_model_max_length", 16),
        ("tokenizer_model_max_length", 513),
        ("hidden_act", "gelu"),
        ("dlm_paradigm", "causal"),
        ("dlm_paradigm", ...),
        ("downsample", False),
        ("attention_bias", True),
        ("sliding_window", 4),
        ("rope_parameters", ...),
        ("rope_parameters", None),
        ("rope_parameters", [1]),
        ("rope_parameters", {"rope_type": "default"}),
        ("rope_parameters", {"rope_type": "yarn"}),
    ],
)
def test_settings_that_are_none(folder, key, value, capsys):
    change(folder / "config.json", **{key: value})
    refused(folder, "config.json cannot be used: ", capsys)


@pytest.mark.parametrize(
    "key,value",
    [
        ("rope_theta", 0),
        ("rope_theta", 1),
        ("rope_theta", "10000"),
        ("factor", 0.5),
        ("factor", float("inf")),
        ("beta_fast", 0),
        ("beta_slow", None),
        ("original_max_position_embeddings", 0),
        ("original_max_position_embeddings", 2.5),
        ("mscale", 2.0),
    ],
)
def test_positions_that_are_none(folder, key, value, capsys):
    rope = json.loads((folder / "config.json").read_text())["rope_parameters"]
    change(folder / "config.json", rope_parameters={**rope, key: value})
    refused(folder, "config.json cannot be used: ", capsys)


@pytest.mark.parametrize(
    "key,value",
    [
        ("ch", 40),
        ("ch", 0),
        ("ch_mult", []),
        ("ch_mult", 2),
        ("ch_mult", [2, "1"]),
        ("ch_mult", [1] * 40),
        ("num_res_blocks", 0),
        ("attn_resolutions", 8),
        ("attn_resolutions", [0]),
        ("resolution", -1),
        ("codebook_size", 0),
        ("codebook_size", 10**12),
        ("double_z", True),
        ("in_channels", 4),
    ],
)
def test_tokenizer_settings_that_are_none(folder, key, value, capsys):
    change(folder / TOKENIZER, **{key: value})
    refused(folder, "emu3_vqvae/config.json cannot be used: ", capsys)


@pytest.mark.parametrize(
    "edit,sentence",
    [
        (lambda m: m.clear(), "has no weight_map"),
        (lambda m: m.pop("encoder.norm.weight"), "'encoder.norm.weight' is missing"),
        (lambda m: m.update({"encoder.norm.bias": FIRST}), "'encoder.norm.bias' does not belong"),
        (lambda m: m.update({"lm_head.weight": FIRST}), "'lm_head.weight' does not belong"),
        (lambda m: m.update({"encoder.layers.2.mlp.up_proj.weight": FIRST}), "does not belong to this model"),
        (lambda m: m.update({"encoder.norm.weight": "../model.safetensors"}), "no safetensors file of this"),
        (lambda m: m.update({"encoder.norm.weight": "/etc/passwd"}), "no safetensors file of this folder"),
        (lambda m: m.update({"encoder.norm.weight": "model.bin"}), "no safetensors file of this folder"),
        (lambda m: m.update({"encoder.norm.weight": 3}), "no safetensors file of this folder"),
        (lambda m: m.update({"encoder.norm.weight": SECOND}), "'encoder.norm.weight' is missing"),
    ],
)
def test_indices_that_do_not_fit(folder, edit, sentence, capsys):
    mapped(folder, edit)
    refused(folder, sentence, capsys)


@pytest.mark.parametrize(
    "file,edit,sentence",
    [
        (FIRST, lambda s: s.pop("encoder.norm.weight"), "'encoder.norm.weight' is missing"),
        (FIRST, lambda s: s.update({"encoder.norm.weight": torch.ones(23)}), r"shape \[23\] where"),
        (FIRST, lambda s: s["encoder.norm.weight"].fill_(torch.nan), "values that are not finite"),
        (FIRST, lambda s: s.update({"encoder.norm.weight": torch.ones(24).long()}), "has dtype torch.int64"),
        (SECOND, lambda s: s["encoder.vqvae.quant_conv.bias"].fill_(torch.inf), "values that are not finite"),
    ],
)
def test_weights_that_do_not_fit(folder, file, edit, sentence, capsys):
    weights(folder / file, edit)
    refused(folder, sentence, capsys)


@pytest.mark.parametrize("data", [b"", b"\x80\x04}.", b"\xff" * 64, b"PK\x03\x04"])
def test_pickles_and_other_files_in_the_place_of_weights(folder, data, capsys):
    (folder / FIRST).write_bytes(data)
    refused(folder, f"{FIRST} cannot be used", capsys)


@pytest.mark.parametrize(
    "edit,sentence",
    [
        (lambda t: t.update(model={"type": "BPE"}), "is no tokenizer"),
        (lambda t: t.update(added_tokens=[]), "is not the tokenizer of this model: it has no <.im_start"),
        (lambda t: t["model"]["vocab"].update(beyond=10**6), "it has more ids than the model"),
    ],
)
def test_tokenizers_that_do_not_fit(folder, edit, sentence, capsys):
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text())
    edit(data)
    if not data["added_tokens"]:
        for token in ("<|im_end|>", "<|im_start|>"):
            data["model"]["vocab"].pop(token)
    path.write_text(json.dumps(data))
    refused(folder, sentence, capsys)


def test_prompts_that_end_the_chat_themselves_or_are_too_long_are_refused(tmp_path):
    pipe = Pipeline.from_pretrained(GOLDEN / "twin", "cpu")
    for text in ("a fox<|im_end|>", "<SPECIAL_18> a fox", "<s>"):
        with pytest.raises(ValueError, match="the prompt holds <.*leave it out"):
            pipe.generate(text)
    with pytest.raises(ValueError, match="more than the model reads; please shorten it"):
        pipe.generate("雪 " * 200)
    with pytest.raises(ValueError, match="takes no negative prompt"):
        pipe.generate("a fox", negative="snow")


# ---- machines that are too small ------------------------------------------------------------------------------


@pytest.fixture
def real(folder):
    """A folder with the real configuration, and no weights at all."""
    rope = json.loads((folder / "config.json").read_text())["rope_parameters"]
    change(
        folder / "config.json",
        **dict.fromkeys(("sample_size", "tokenizer_model_max_length"), ...),
        **dict(vocab_size=132_101, hidden_size=4096, d_model_gen=4096, num_hidden_layers=34, head_dim=128),
        **dict(num_attention_heads=32, num_key_value_heads=8, intermediate_size=14_336),
        rope_parameters={**rope, "rope_theta": 1e6, "original_max_position_embeddings": 16_384},
    )
    change(folder / TOKENIZER, **dict.fromkeys(("ch", "ch_mult", "num_res_blocks", "attn_resolutions"), ...))
    change(
        folder / TOKENIZER, **dict.fromkeys(("resolution", "z_channels", "embed_dim", "codebook_size"), ...)
    )
    (folder / FIRST).unlink()
    return folder


def test_a_machine_without_a_gpu_is_told_before_any_weight_is_read(real, capsys):
    refused(real, r"needs a GPU of 24 GB, as its weights alone take \d+ GB, and no GPU is used here", capsys)
    refused(real, "not commercial", capsys)
    assert families.facts(real).name == "NL-Diffusion-Image 1024"


def test_a_small_gpu_is_told_its_size_and_a_large_one_opens(monkeypatch):
    for memory, fits in ((16, False), (20, False), (24, True), (80, True)):
        told = SimpleNamespace(total_memory=memory * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, told=told: told)
        if fits:
            nl.check_room(19.7e9, torch.device("cuda"))
        else:
            with pytest.raises(ValueError, match=f"needs a GPU of 24 GB.* and this one has {memory} GB"):
                nl.check_room(19.7e9, torch.device("cuda"))
