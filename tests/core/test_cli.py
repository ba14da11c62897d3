"""The command line: a picture and its record, and one sentence where something is wrong."""

import dataclasses

import pytest
from PIL import Image
from tiny_model import build_tiny

from mdm_core.__main__ import main
from mdm_core.diffusion.trajectory import Trajectory
from mdm_core.pipeline import Pipeline
from mdm_core.settings import SETTINGS


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "model"
    config, codec, weights, text = build_tiny()
    Pipeline.save(path, codec, weights, text, config)
    return str(path)


def test_a_picture_and_its_record(model, tmp_path, capsys):
    out, record = tmp_path / "x.png", tmp_path / "x.json"
    arguments = ["a cat", "--model", model, "--seed", "4", "--steps", "5", "--scale", "3", "--edit", "remask"]
    assert main([*arguments, "--out", str(out), "--trajectory", str(record)]) == 0
    with Image.open(out) as picture:
        assert picture.size == (96, 96)
    run = Trajectory.load(record)
    again = Pipeline.from_pretrained(model).generate("a cat", **run.settings)  # the record repeats the run
    assert (again.tokens == run.tokens).all() and run.settings["edit"] == "remask"
    assert set(run.settings) == {
        "seed",
        *(f.name for f in dataclasses.fields(Pipeline.from_pretrained(model).config.sample)),
    }
    assert "5 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments,sentence",
    [
        ([""], "the prompt is empty"),
        (["a cat", "--steps", "0"], "steps must be"),
        (["a cat", "--steps", "10000"], "steps must be"),
        (["a cat", "--seed", "-1"], "the seed must be"),
        (["a cat", "--scale", "0"], "--scale must be"),
        (["a cat", "--out", "nowhere/x.png"], "does not exist"),
        (["a cat", "--out", "picture"], "is no picture file"),
        (["a cat", "--out", "picture.xyz"], "is no picture file"),
        (["a cat", "--out", "picture.psd"], "is no picture file"),  # Pillow reads it and writes none
        (["a cat", "--out", "picture.xbm"], "is no picture file"),  # which holds no colours
        (["a cat", "--out", "picture.h5"], "is no picture file"),
        (["a cat", "--out", "."], "is a folder"),
        (["a cat", "--out", "/proc/x.png"], "cannot be written"),
        (["a cat", "--trajectory", "/proc/x.json"], "cannot be written"),
        (["a cat", "--trajectory", "nowhere/x.json"], "does not exist"),
        (["a cat", "--trajectory", "."], "is a folder"),
        (["a cat", "--out", "x.png", "--trajectory", "./x.png"], "give each a name of its own"),
        (["a cat", "--model", "nowhere"], "is no model folder"),
        (["a cat", "--device", "tpu"], "cannot be used here"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    arguments, sentence, model, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    arguments = arguments if "--model" in arguments else [*arguments, "--model", model]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said.splitlines()[-1] and said.count("error:") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.xyz", "/proc/x.png"])
def test_what_cannot_be_written_is_refused_before_the_work(name, model, monkeypatch, capsys):
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda *_: pytest.fail("the model was loaded"))
    assert main(["a cat", "--model", model, "--out", name]) == 2


def test_what_is_there_is_kept_when_the_run_fails(model, tmp_path, capsys):
    out = tmp_path / "x.png"
    out.write_bytes(b"mine")
    assert main(["", "--model", model, "--out", str(out)]) == 2
    assert out.read_bytes() == b"mine"


def test_every_setting_is_a_flag(model, tmp_path, capsys):
    wanted = {
        "steps": "3",
        "order": "threshold",
        "mask_threshold": "0.5",
        "top_k": "7",
        "top_p": "off",
        "edit_cap": "2",
        "edit_window": ("0.25", "0.75"),
    }
    given = []
    for name, value in wanted.items():
        given += [f"--{name.replace('_', '-')}", *([value] if isinstance(value, str) else value)]
    record = tmp_path / "x.json"
    assert (
        main(
            ["a cat", "--model", model, "--out", str(tmp_path / "x.png"), "--trajectory", str(record), *given]
        )
        == 0
    )
    told = Trajectory.load(record).settings
    assert (told["top_k"], told["top_p"], told["edit_window"]) == (7, None, [0.25, 0.75])
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')} " in said for name in SETTINGS)
    assert (
        main(["a cat", "--model", model, "--out", str(tmp_path / "y.png"), "--edit-window", "0.8", "0.2"])
        == 2
    )
    assert "edit_window must be two rising numbers" in capsys.readouterr().err
