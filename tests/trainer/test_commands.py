"""Every command of the trainer: hostile arguments end with one sentence and 2, before any work."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_cases import COMMANDS as CASES
from picture_files import captioned_folder
from tiny_run import codec_folder

import trainer.__main__ as index
from trainer import command, options

ROOT = Path(__file__).resolve().parents[2]


def run(*words):
    """`python -m` with these words in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


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


@pytest.mark.parametrize(("name", "line"), [(n, line) for n, lines in CASES.items() for line in lines])
def test_hostile_arguments_end_with_one_sentence_and_two(name, line, places, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    known = {**places, "DIR2": tmp_path / "other", "DIR": tmp_path / "empty"}
    arguments = []
    for word in line.split():
        for key, place in known.items():
            word = word.replace(key, str(place)) if key in word else word
        arguments.append(word)
    monkeypatch.setattr(sys, "argv", ["trainer", *name.split(), *arguments])
    with pytest.raises(SystemExit) as ended:
        index.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2, (ended.value.code, said)
    last = said.strip().splitlines()[-1]
    assert "error: " in last and len(last) < 1000 and "Traceback" not in said


def test_every_command_is_in_the_index_and_among_them():
    found = set()
    for path in Path(index.__file__).parent.rglob("*.py"):
        source = path.read_text("utf-8")
        if " = ask(" in source and '__name__ == "__main__"' in source:
            found.add(".".join(path.relative_to(index.HERE).with_suffix("").parts))
    assert found == {known.module for known in index.COMMANDS.values()}
    assert set(CASES) == set(index.COMMANDS)


def test_the_index_lists_every_command_without_importing_it():
    began = time.perf_counter()
    done = run("trainer")
    assert time.perf_counter() - began < 5  # PyTorch alone takes a second or two, and is not there
    listed = [line.strip() for line in done.stdout.splitlines()]
    for words, known in index.COMMANDS.items():
        assert any(
            line.startswith(words) and line.endswith(index.summary(known.module)) for line in listed
        ), words
    code = "import sys, trainer.__main__ as i; print(i.index()); assert not {'torch', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0


LIGHT = """
import contextlib, io, sys
import trainer.__main__ as index
for words in index.COMMANDS:
    sys.argv = ["trainer", *words.split(), "--help"]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as said:
        index.main()
    assert said.getvalue().startswith("usage: "), words
    heavy = {"torch", "numpy", "PIL", "safetensors", "matplotlib"} & set(sys.modules)
    assert not heavy, (words, heavy)
    sys.argv[-1] = "--nothing"
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()) as said:
        index.main()
    assert "error: " in said.getvalue() and not {"torch", "numpy"} & set(sys.modules), words
"""


def test_help_and_a_slip_do_not_wait_for_pytorch():
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", index.COMMANDS)
def test_every_command_has_help_in_one_style(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["trainer", *words.split(), "--help"])
    with pytest.raises(SystemExit) as ended:
        index.main()
    said = capsys.readouterr().out
    assert not ended.value.code and said.startswith(f"usage: python -m trainer {words} ")
    what = index.summary(index.COMMANDS[words].module)
    assert what in said  # what it does
    # and an example
    assert f"python -m trainer {words}" in said.split(what)[1]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("tokn", "tokens"), ("evidence tabels", "evidence tables"), ("trian", "train"), ("evaluat", "evaluate")],
)
def test_a_slip_is_answered_with_the_command_that_was_meant(asked, meant):
    done = run("trainer", *asked.split())
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and done.stderr.strip().endswith(f"did you mean {meant}?")
    assert "evidence ablate" in run("trainer", "evidence").stdout


def test_a_command_in_a_process_of_its_own(tmp_path):
    for line in ("evidence sheet --model nowhere", "evaluate --limit 0"):
        done = run("trainer", *line.split())
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
    assert options.to_path("~/runs/x") == tmp_path / "runs" / "x"
    assert options.to_path("~nobody_at_all/x") == Path("~nobody_at_all/x")
    assert command.out_folder("~/runs") == tmp_path / "runs" and (tmp_path / "runs").is_dir()
