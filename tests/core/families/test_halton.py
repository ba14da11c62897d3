"""Halton-MaskGIT against what its own program made of its twin (tests/reference/halton.py), through the converter."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from family_contract import run_contract
from PIL import Image
from safetensors.torch import load_file

from mdm_core import families
from mdm_core.explain.vocabulary import Vocabulary
from mdm_core.families.halton import __main__ as command
from mdm_core.families.halton import convert
from mdm_core.families.halton.classes import NAMES, find
from mdm_core.families.halton.config import MaskGITConfig
from mdm_core.families.halton.transformer import MaskGIT
from mdm_core.families.published.ibq import IBQ, IBQConfig
from mdm_core.pipeline import Pipeline

GOLDEN = Path(__file__).parents[2] / "golden" / "halton"
PUBLISHED = json.loads((GOLDEN / "published.json").read_text())
V, CLASS = 130, "goldfish"


def published_files(folder: Path) -> tuple[Path, Path]:
    """The twin's pickles as its authors publish theirs, with what training leaves in them."""
    theirs = load_file(GOLDEN / "theirs.safetensors")
    parts = {
        name: {k.removeprefix(f"{name}."): v.float() for k, v in theirs.items() if k.startswith(f"{name}.")}
        for name in ("vit", "vq")
    }
    parts["vit"]["head.weight"] = parts["vit"]["tok_emb.weight"]
    parts["vq"]["quantize.codebook_used"] = torch.zeros(9)
    vit = {f"module._orig_mod.{k}": v for k, v in parts["vit"].items()}
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    told = {"iter": 9, "global_epoch": 1, "model_state_dict": vit, "optimizer_state_dict": optimizer}
    torch.save(told, folder / "ImageNet_256_tiny.pth")
    torch.save({"model": parts["vq"]}, folder / "vq_ds16_c2i.pt")
    return folder / "ImageNet_256_tiny.pth", folder / "vq_ds16_c2i.pt"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The converted twin."""
    folder = tmp_path_factory.mktemp("halton")
    convert.convert(*published_files(folder), folder / "model", heads=4)
    return folder / "model"


@pytest.fixture(scope="module")
def pipe(model):
    return Pipeline.from_pretrained(model, "cpu", torch.float32)


@pytest.fixture(scope="module")
def told():
    """What the reference said."""
    return load_file(GOLDEN / "golden.safetensors")


def near(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Equal but for 1e-5 of the largest value: fp32 sums in another order."""
    return got.shape == wanted.shape and float((got - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize("name,guidance", [("logits", 0.0), ("guided", 1.5)])
def test_logits_are_the_reference_s(pipe, told, name, guidance):
    """The head's bias folded in, the row of its mask left out; its w is our guidance."""
    tokens = told["tokens"].long().flatten()[None]
    hidden = pipe.forward.hidden(tokens, pipe.condition(CLASS), guidance)
    got = (hidden[0] @ pipe.forward.head.t())[::3]
    assert near(got, told[name]) and torch.equal(got.argmax(1), told[name].argmax(1))


def test_a_picture_becomes_the_reference_s_tokens(pipe, told):
    assert np.array_equal(pipe.encode(Image.fromarray(told["picture"].numpy())), told["codes"].numpy())


def test_a_greedy_run_is_the_reference_s_at_every_step_and_so_is_its_picture(pipe, told):
    """In its own order, Halton's."""
    run = pipe.generate(CLASS, seed=0, steps=5, guidance=1.5, top_k=1)
    made = np.stack([r.tokens.reshape(16, 16) for r in run.records])
    assert np.array_equal(made, told["made"].numpy())
    assert np.array_equal(np.asarray(run.image), told["pixels"].numpy())


# ---- the real ones --------------------------------------------------------------------------------------------

# millions of parameters as its page says, and the inner width of the feed-forward layers
SIZES = {"tiny": (384, 6, 23, 1024), "small": (512, 12, 69, 1536), "base": (768, 12, 142, 2048)}
SIZES["large"] = (1024, 24, 480, 2816)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith("ImageNet")])
def test_the_published_transformers_have_the_reference_s_names_and_shapes(name):
    told, (_, pixels, size) = PUBLISHED[name], name.split("_")
    width, depth, millions, inner = SIZES[size]
    config = MaskGITConfig(int(pixels) // 16, width, depth, convert.HEADS[width, depth], inner)
    with torch.device("meta"):
        state = MaskGIT(config).state_dict()
    shapes = Counter(f"{re.sub(r'[.][0-9]+', '.N', k)} {list(v.shape)}" for k, v in state.items())
    # theirs names the table of tokens twice
    assert shapes == Counter(told["shapes"]) - Counter([f"head.weight [16385, {width}]"])
    count = sum(v.numel() for v in state.values())
    assert count == told["parameters"] and abs(count / 1e6 - millions) < 0.6


def test_the_published_tokenizer_has_the_reference_s_shapes():
    """Other names, as many of each shape; 71.9 million parameters."""
    told = PUBLISHED["vq_ds16_c2i"]
    with torch.device("meta"):
        state = IBQ(IBQConfig(128, num_res_blocks=2, embed_dim=8, codebook_size=16384), 16).state_dict()
    ours = Counter(str(list(v.shape)) for v in state.values())
    theirs: Counter = Counter()
    for name, n in told["shapes"].items():
        theirs["[" + name.split("[")[1]] += n
    assert ours == theirs - Counter(["[65536]"])
    count = sum(v.numel() for v in state.values())
    assert round(count / 1e6, 1) == 71.9


# ---- as a family ----------------------------------------------------------------------------------------------


def test_the_contract_is_kept(pipe, tmp_path):
    run_contract(pipe, "red fox", "lakeside", tmp_path)


def test_what_everyone_may_know_of_it(model, pipe):
    facts = families.facts(model)
    assert (
        facts == pipe.facts and facts.fingerprint == pipe.facts.fingerprint and len(facts.fingerprint) == 16
    )
    assert facts.name == "Halton-MaskGIT 32" and facts.licence == "MIT" and facts.revises is False
    asked = ("steps", "guidance", "order", "schedule", "gumbel", "edit", "polish")
    assert [facts.defaults[name] for name in asked] == [32, 1.0, "halton", "arccos", 0, "off", 0]
    for text in facts.examples:
        assert NAMES[find(text)] == text
    names = Vocabulary.from_card(facts.card)
    assert len(names.things) == 1000 and names.things[1].name == "goldfish"
    shown = dict(names.sections())
    assert sum(map(len, shown.values())) == 1000
    assert {kind: shown[kind][0] for kind in ("dog", "food", "place", "person", "plant")} == {
        "dog": "Chihuahua",
        "food": "guacamole",
        "place": "alp",
        "person": "ballplayer",
        "plant": "rapeseed",
    }
    # what it never heard of is said so, and its own names are left in peace
    assert "zebrafish" in names.understand("a zebrafish").sentence
    assert not any(names.understand(text).parts for text in facts.examples)


def test_weights_are_held_as_asked_but_for_what_names_tokens(model):
    narrow = Pipeline.from_pretrained(model, "cpu", torch.bfloat16)
    assert {p.dtype for p in narrow.backbone.model.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in narrow.codec.decoder.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in narrow.codec.encoder.parameters()} == {torch.float32}
    assert narrow.generate(CLASS, seed=1, steps=3).image.size == (32, 32)


# ---- classes --------------------------------------------------------------------------------------------------


def test_names_of_classes_are_a_thousand_different_ones_in_imagenet_s_order():
    assert len(NAMES) == 1000 == len({name.lower() for name in NAMES})
    known = {
        0: "tench",
        1: "goldfish",
        7: "cock",
        282: "tiger cat",
        604: "hourglass",
        724: "pirate",
        751: "racer",
    }
    known |= {
        404: "airliner",
        850: "teddy",
        179: "Staffordshire bullterrier",
        985: "daisy",
        999: "toilet tissue",
    }
    assert {number: NAMES[number] for number in known} == known
    assert [find(name) for name in NAMES] == list(range(1000))


@pytest.mark.parametrize(
    "prompt,name",
    [
        ("goldfish", "goldfish"),
        ("  A  Goldfish ", "goldfish"),
        ("a photo of a tiger cat at night", "tiger cat"),
        ("TIGER", "tiger"),
        ("the castle.", "castle"),
        ("985", "daisy"),
        ("Cardigan", "cardigan"),
        ("Cardigan corgi", "Cardigan corgi"),
    ],
)
def test_prompts_name_classes(prompt, name):
    assert NAMES[find(prompt)] == name


@pytest.mark.parametrize(
    "prompt,near",
    [
        ("strawbery", "near are strawberry"),
        ("dog", "near are .*dog"),
        ("Siberian huskies", "near are Siberian husky"),
        ("1000", "try goldfish"),
        ("²", "try goldfish"),
        ("catamarans" * 50, "names none of them"),
    ],
)
def test_prompts_that_name_none_are_told_what_is_near(pipe, prompt, near):
    with pytest.raises(ValueError, match=f"draws the 1,000 classes of ImageNet and .*{near}") as caught:
        pipe.generate(prompt)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


# ---- the converter --------------------------------------------------------------------------------------------


def test_the_command_converts_and_says_what_it_made(tmp_path, capsys):
    files = published_files(tmp_path)
    assert command.main([*map(str, files), str(tmp_path / "made"), "--heads", "4"]) == 0
    said = capsys.readouterr().out
    assert "pictures of 32 pixels" in said and f"python app.py --model {tmp_path / 'made'}" in said
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.safetensors",
    ]


class Harm:
    """A pickle of it would run a program."""

    def __reduce__(self):
        return (Path.touch, (Path("harm"),))


@pytest.mark.parametrize(
    "change,sentence",
    [
        (lambda s: s.clear(), "it has no 'model_state_dict'"),
        (lambda s: s.update(x=Harm()), "cannot be read as tensors and plain values alone"),
        (lambda s: s["model_state_dict"].pop("module._orig_mod.head.weight"), "it has no 'head.weight'"),
        (lambda s: s["model_state_dict"].pop("module._orig_mod.head.bias"), "'head.bias' is missing"),
        (
            lambda s: s["model_state_dict"].update({"in_proj.weight": torch.ones(1)}),
            "'in_proj.weight' does not",
        ),
        (lambda s: s["model_state_dict"].update({"module._orig_mod.head.bias": torch.ones(3)}), "has shape"),
        (lambda s: s["model_state_dict"].update({"x": 3}), "'x' is no tensor"),
        (
            lambda s: s["model_state_dict"]["module._orig_mod.pos_emb.weight"].fill_(torch.nan),
            "values that are not finite",
        ),
        (
            lambda s: s["model_state_dict"].update({"module._orig_mod.head.weight": torch.ones(131, 26)}),
            "does not share the rows",
        ),
    ],
)
def test_files_that_do_not_fit_are_one_sentence_and_leave_nothing(
    tmp_path, change, sentence, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    first, second = published_files(tmp_path)
    state = torch.load(first, weights_only=True)
    change(state)
    torch.save(state, first)
    assert command.main([str(first), str(second), str(tmp_path / "made"), "--heads", "4"]) == 2
    said = capsys.readouterr()
    assert re.search(sentence, said.err) and said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "made").exists() and not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "heads,folder,sentence",
    [
        ([], "made", "its size, 26 by 2 layers, is none that was published: say its --heads"),
        (["--heads", "27"], "made", "heads must be at most hidden_dim 26"),
        (["--heads", "5"], "made", "has shape"),
        (["--heads", "4"], ".", "is there already: name a new folder"),
    ],
)
def test_what_is_asked_for_and_cannot_be(tmp_path, heads, folder, sentence, capsys):
    files = published_files(tmp_path)
    assert command.main([*map(str, files), str(tmp_path / folder), *heads]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"x" * 99, b"PK\x03\x04", b"\x80\x04}."])
def test_files_that_are_no_pickles_of_tensors(tmp_path, data, capsys):
    first, second = published_files(tmp_path)
    first.write_bytes(data)
    assert command.main([str(first), str(second), str(tmp_path / "made")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert command.main([str(tmp_path / "none"), str(second), str(tmp_path / "made")]) == 2
    assert "none is missing" in capsys.readouterr().err


# ---- folders that are wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part,key,value",
    [
        ("", "format_version", 2),
        ("", "model", None),
        ("", "tokenizer", [1]),
        ("model", "hidden_dim", 0),
        ("model", "hidden_dim", "26"),
        ("model", "depth", 10**9),
        ("model", "heads", 27),
        ("model", "guidance", float("nan")),
        ("model", "codebook_size", 131),
        ("model", "unknown", 1),
        ("tokenizer", "ch", 33),
        ("tokenizer", "ch_mult", []),
        ("tokenizer", "codebook_size", True),
    ],
)
def test_settings_that_are_none(model, tmp_path, part, key, value):
    folder = copied(model, tmp_path)
    data = json.loads((folder / "config.json").read_text())
    (data[part] if part else data)[key] = value
    (folder / "config.json").write_text(json.dumps(data))
    for call in (lambda: Pipeline.from_pretrained(folder, "cpu"), lambda: families.facts(folder)):
        with pytest.raises(ValueError, match=r"config.json cannot be used: ") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.safetensors"])
def test_weights_that_are_missing_or_none(model, tmp_path, name):
    folder = copied(model, tmp_path)
    (folder / name).write_bytes(b"\x80\x04}.")
    with pytest.raises(ValueError, match=f"{name} cannot be used"):
        Pipeline.from_pretrained(folder, "cpu")
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{name} is missing from the model folder"):
        Pipeline.from_pretrained(folder, "cpu")


def copied(model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder
