"""Every command of the trainer: hostile arguments end with one sentence and 2, before any work."""

import importlib
import os
import pkgutil
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from picture_files import captioned_folder
from tiny_run import codec_folder

import trainer
from trainer import command

ROOT = Path(__file__).resolve().parents[2]

# FILE is a file, DIR a folder, MODEL a tiny model folder, PICTURES captioned pictures, JUNK bytes that are nothing
CASES = {
    "evidence.sheet": ["--model nowhere", "--model FILE", "--out FILE", "--out FILE/x", "--nothing"],
    "evaluate": [
        "--limit 0",
        "--limit -1",
        "--limit x",
        "--minutes nan",
        "--minutes 0",
        "--minutes inf",
        "--batch 0",
        "--batch 1e9",
        "--json DIR",
        "--json FILE/x.json",
        "--tokens x.txt",
        "--tokens DIR",
        "--model nowhere",
        "--verifier nowhere",
        "--prompts nowhere",
        "--prompts JUNK --model MODEL",
        "--device nowhere",
        "--device meta",
        "--set steps",
        "--tags x",
        "--split x",
        "--quick --prompts FILE --model MODEL",
    ],
    "evidence.tune": [
        "--per-tag 0",
        "--out DIR",
        "--out FILE/x.json",
        "--best DIR",
        "--only x",
        "--model nowhere",
        "--device nowhere",
    ],
    "tokenizer.photos": [
        "nowhere",
        "FILE",
        "DIR --limit-mib nan",
        "DIR --limit-mib 0",
        "DIR --processes 0",
        "DIR --out DIR",
        "DIR --out x.png",
        "DIR --out FILE/x.safetensors",
    ],
    "evidence.failures": ["--record nowhere", "--record JUNK", "--record DIR", "--record FILE"],
    "evidence.freeform": [
        "--out DIR",
        "--out FILE/x.json",
        "--model nowhere",
        "--verifier nowhere",
        "--device nowhere",
    ],
    "evidence.geneval_export": [
        "nowhere",
        "JUNK",
        "DIR",
        "PROMPTS --samples 0",
        "PROMPTS --limit 0",
        "PROMPTS --out FILE",
        "PROMPTS --model nowhere --out DIR",
        "PROMPTS --model MODEL --device nowhere --out DIR",
    ],
    "evidence.model_card": ["--model nowhere", "--model FILE", "--model DIR"],
    "scenes.words": ["nowhere", "FILE", "DIR"],
    "evidence.ablate": [
        "--seeds 0",
        "--minutes nan",
        "--minutes -1",
        "--steps -1",
        "--batch 0",
        "--rows 2",
        "--scenes 0",
        "--objects 0",
        "--processes 0",
        "--workers -1",
        "--out FILE",
        "--codec nowhere --out DIR",
        "--levels 1",
        "--device nowhere --out DIR",
        "--device meta --out DIR",
        "--arms x",
    ],
    "tokenizer.measure": [
        "--model nowhere",
        "--out DIR",
        "--sheet x.txt",
        "--sheet x",
        "--sheet FILE/x.png",
        "--photos nowhere",
        "--photos JUNK",
    ],
    "art.build_atlas": ["--npm nowhere", "--npm DIR", "--npm FILE", "nowhere --npm DIR"],
    "art.look_at_atlas": ["nowhere --out DIR", "FILE --out DIR", "DIR --out DIR --pairs -1"],
    "evaluate.prompts": ["--objects 0", "--objects 99999 --out DIR", "--out FILE"],
    "evidence.tables": [
        "--limit 0",
        "--only x",
        "--out FILE",
        "--measure --model nowhere --out DIR",
        "--measure --verifier nowhere --out DIR",
        "--measure --device nowhere --out DIR",
    ],
    "judge.train": [
        "--minutes 0",
        "--minutes nan",
        "--steps -2",
        "--batch 0",
        "--lr nan",
        "--lr -1",
        "--objects 0",
        "--objects 99999 --out DIR",
        "--check 0",
        "--seed -1",
        "--device nowhere --out DIR",
        "--device meta --out DIR",
        "--log-every 0",
        "--out FILE",
    ],
    "tokenizer.train": [
        "--levels 1",
        "--levels 0",
        "--image-size 0",
        "--image-size 130 --out DIR",
        "--patch 0",
        "--patch 7 --out DIR",
        "--objects 0",
        "--objects 99999 --out DIR",
        "--init nowhere --out DIR",
        "--init JUNK --out DIR",
        "--images nowhere --out DIR",
        "--images JUNK --out DIR",
        "--images PICTURES --images-share nan --out DIR",
        "--images PICTURES --images-share 2 --out DIR",
        "--blend 0 --out DIR",
        "--blend nan --out DIR",
        "--minutes 0 --out DIR",
        "--minutes nan",
        "--steps -1",
        "--batch 0",
        "--lr nan",
        "--lr -1",
        "--augment 2",
        "--workers -1",
        "--seed -1",
        "--device nowhere --out DIR",
        "--log-every 0",
        "--save-every 0",
        "--measure-on 0",
        "--out FILE",
        "--out FILE/x",
    ],
    "data.make_tokens": [
        "nowhere --out DIR",
        "FILE --out DIR",
        "JUNK --out DIR",
        "DIR --out DIR",
        "PICTURES --out FILE",
        "PICTURES --out FILE/x",
        "PICTURES --out DIR --codec nowhere",
        "PICTURES --out DIR --codec DIR",
        "PICTURES --out DIR --views 0",
        "PICTURES --out DIR --shard-size 0",
        "PICTURES --out DIR --processes 0",
        "PICTURES --out DIR --crop 0",
        "PICTURES --out DIR --crop nan",
        "PICTURES --out DIR --seed -1",
        "PICTURES --out DIR --device nowhere",
        "PICTURES --out DIR --device meta",
        "hf:a/b --out DIR",
    ],
    "engine.train": [
        "nothing",
        "../folder",
        "folder --out DIR",
        "folder data.path=nowhere --out DIR",
        "folder lr=x",
        "folder data.path=JUNK --out DIR",
        "folder data.held_out=1",
        "folder steps=0",
        "folder x=1",
        "folder =",
        "emoji_cpu --codec nowhere --out DIR",
        "emoji_cpu --codec DIR --out DIR2",
        "emoji_cpu --init DIR --out DIR2",
        "emoji_cpu --out FILE",
        "emoji_cpu --out FILE/x",
        "emoji_cpu --device nowhere --out DIR",
        "emoji_cpu --device meta --out DIR",
        "emoji_cpu --threads -1",
        "emoji_cpu --stop-after nan",
        "emoji_cpu --plan --gpus 0",
        "emoji_cpu data.styles=() --out DIR",
        "emoji_cpu data.n_objects=0",
        "emoji_cpu data.n_objects=9999 --out DIR",
        "emoji_cpu data.styles=('x',) --out DIR",
    ],
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("places")
    (root / "file").write_text("nothing\n")
    (root / "junk").write_bytes(bytes(range(256)) * 4)
    (root / "prompts.jsonl").write_text('{"prompt": "a cat"}\n')
    captioned_folder(root / "pictures", 3)
    codec_folder(root / "model")
    return {
        "FILE": root / "file",
        "JUNK": root / "junk",
        "PROMPTS": root / "prompts.jsonl",
        "PICTURES": root / "pictures",
        "MODEL": root / "model",
    }


def module_of(name: str) -> str:
    package = importlib.util.find_spec(f"trainer.{name}").submodule_search_locations
    return f"trainer.{name}.__main__" if package else f"trainer.{name}"


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize(("name", "line"), [(n, line) for n, lines in CASES.items() for line in lines])
def test_hostile_arguments_end_with_one_sentence_and_two(name, line, places, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    known = {**places, "DIR2": tmp_path / "other", "DIR": tmp_path / "empty"}
    arguments = []
    for word in line.split():
        for key, place in known.items():
            word = word.replace(key, str(place)) if key in word else word
        arguments.append(word)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module_of(name), run_name="__main__")
    said = capsys.readouterr().err
    assert ended.value.code == 2, (ended.value.code, said)
    last = said.strip().splitlines()[-1]
    assert "error: " in last and len(last) < 1000 and "Traceback" not in said


def test_every_command_is_among_them():
    commands = set()
    for found in pkgutil.walk_packages(trainer.__path__, "trainer."):
        if found.name.startswith(("trainer.bench", "trainer.recipes")):
            continue
        source = Path(importlib.util.find_spec(found.name).origin).read_text("utf-8")
        if "ArgumentParser(" in source and '__name__ == "__main__"' in source:
            commands.add(found.name.removeprefix("trainer.").removesuffix(".__main__"))
    assert commands == set(CASES)


def test_a_command_in_a_process_of_its_own(tmp_path):
    for line in ("trainer.evidence.sheet --model nowhere", "trainer.evaluate --limit 0"):
        done = subprocess.run(
            [sys.executable, "-m", *line.split()],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 2 and "error: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ValueError("a\nb"), 2),
        (FileNotFoundError(2, "No such file", "x"), 2),
        (OverflowError("too large"), 2),
        (RuntimeError("it broke\nat length"), "error: it broke"),
        (OSError(28, "No space left", "x"), "error: No space left: x"),
        (KeyboardInterrupt(), "stopped at once"),
    ],
)
def test_what_was_asked_is_told_apart_from_what_failed(failure, code, capsys):
    def fails():
        raise failure

    with pytest.raises(SystemExit) as ended:
        command.run_command(fails)
    assert ended.value.code == code and "\n" not in capsys.readouterr().err.strip()


def test_results_that_cannot_be_written_are_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    assert command.out_file(None) is None and command.out_picture(None) is None
    assert command.out_file(tmp_path / "new" / "x.json") == tmp_path / "new" / "x.json"
    assert command.out_picture(tmp_path / "x.PNG").name == "x.PNG"
    for bad in (
        lambda: command.out_file(tmp_path / "folder"),
        lambda: command.out_file(tmp_path / "file" / "x.json"),
        lambda: command.out_file(tmp_path / "x.json", (".safetensors",)),
        lambda: command.out_picture(tmp_path / "x.txt"),
        lambda: command.out_picture(tmp_path / "x.cur"),
        lambda: command.out_folder(tmp_path / "file"),
        lambda: command.out_folder("/proc/nowhere"),
    ):
        with pytest.raises(ValueError) as error:
            bad()
        assert "\n" not in str(error.value)
    assert (tmp_path / "file").read_text() == "kept"


def test_home_is_known_in_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert command.to_path("~/runs/x") == tmp_path / "runs" / "x"
    assert command.to_path("~nobody_at_all/x") == Path("~nobody_at_all/x")
    assert command.out_folder("~/runs") == tmp_path / "runs" and (tmp_path / "runs").is_dir()
