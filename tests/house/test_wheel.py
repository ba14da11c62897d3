"""`pip install .` is whole: a wheel, built from the source distribution, is used in an empty folder without a clone."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

import trainer.__main__ as index
from trainer import record

pytest.importorskip("pip")

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    ".ci",
    "LICENSE",
    "MANIFEST.in",
    "README.md",
    "app.py",
    "assets",
    "mdm_core",
    "pyproject.toml",
    "requirements.txt",
    "tests",
    "trainer",
    "ui",
)
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"


def files_of(*folders):
    """Paths below the root, without what Python and editors leave behind."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return {
        str(p.relative_to(ROOT))
        for p in found
        if p.suffix != ".pyc" and p.name[0] != "." and p.name[-1] != "~"
    }


def said_by(command, folder, **given):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, **given)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(names in the source distribution, the wheel that was made from it)."""
    place = tmp_path_factory.mktemp("build")
    clone = place / "clone"
    clone.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, clone / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, clone / name)
    said_by([sys.executable, "-c", BUILD, str(place)], clone)
    with tarfile.open(next(place.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        top = archive.getnames()[0].partition("/")[0]
        archive.extractall(place, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--no-build-isolation", "--no-deps", "--no-index", "-w", str(place)]
    said_by([*pip, "wheel", *options, str(place / top)], place)
    return names, next(place.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """(the folder that the wheel was installed into, an empty folder, the environment of someone without a clone)."""
    target, empty = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("empty")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    said_by([*pip, "--target", str(target), str(built[1])], empty)
    return target, empty, {**os.environ, "PYTHONPATH": str(target)}


def test_the_source_distribution_is_the_clone(built):
    missing = files_of("mdm_core", "ui", "trainer", "tests", "assets") - built[0]
    assert not missing and {"app.py", "pyproject.toml", "requirements.txt", "LICENSE"} <= built[0]


def test_the_wheel_holds_what_runs_and_no_more(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        licences = [name for name in wheel.namelist() if "/licenses/" in name]
    code = {name for name in files_of("mdm_core", "ui", "trainer") if not name.startswith("ui/record/")}
    assert {name for name in names if not name.startswith("mdm_core/assets/")} == code
    assert "mdm_core/py.typed" in names and len(licences) == 3  # of the code, and of the art of both atlases
    for folder in ("model", "teaching", "atlas", "atlas_256", "verifier", "verifier_256", "emojieval"):
        shipped = {f"mdm_core/{name}" for name in files_of(f"assets/{folder}")}
        assert shipped and shipped <= names, shipped - names
    assert "mdm_core/assets/benchmarks/gce_cuda.json" in names
    assert not [name for name in names if name.endswith(".png")]  # plots are for readers of the clone


def test_the_library_works_in_an_empty_folder(installed):
    target, empty, environment = installed
    code = """
import json, mdm_core, trainer.engine.plan
from mdm_core import Pipeline
from trainer.scenes.atlas import Atlas
from trainer.evaluate.prompts import load
from trainer.recipes.recipe import load_recipe
from trainer.judge.detector import Verifier
pipe = Pipeline.from_pretrained(device="cpu")
run = pipe.generate("a cat on a teal background", steps=2, polish=0)
print(json.dumps([mdm_core.__file__, run.image.size, len(Atlas.load().objects), len(load()),
                  Verifier.load(device="cpu").card["sha256"],
                  trainer.engine.plan.plan(load_recipe("paper_1024", []), 8)]))
"""
    told = json.loads(said_by([sys.executable, "-c", code], empty, env=environment))
    assert Path(told[0]).is_relative_to(target) and told[1:4] == [[128, 128], 311, 2400]
    # the plan read the records that ship
    assert re.fullmatch("[0-9a-f]{64}", told[4]) and "NVIDIA" in told[5]


def test_the_command_line_works_in_an_empty_folder(installed):
    _, empty, environment = installed
    options = ["--steps", "2", "--polish", "0", "--out", "cat.png"]
    said_by([sys.executable, "-m", "mdm_core", "a cat", *options], empty, env=environment)
    assert (empty / "cat.png").stat().st_size > 1000
    (empty / "cat.png").unlink()


def test_chisel_opens_the_studio(installed):
    target, empty, environment = installed
    chisel = str(next(target.glob("*/chisel*")))  # in bin/ or Scripts/
    assert "usage: chisel " in said_by([chisel, "--help"], empty, env=environment)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [chisel, "--port", str(port), "--no-open"],
        cwd=empty,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        page, until = "", time.monotonic() + 90
        while not page and process.poll() is None and time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=120) as answer:
                    page = answer.read().decode()
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        assert page, process.stdout.read() if process.poll() is not None else "it did not answer"
        config = json.loads(re.search(r"window\.gradio_config = (\{.*?\});</script>", page, re.S)[1])
        assert config["title"] == "Chisel"
        for part in ("Three lessons of ten minutes", "cz-canvas", ".cz-", "three strawberries"):
            assert part in page, part  # the lessons, a script, a style, an example
    finally:
        process.terminate()
        process.communicate(timeout=120)
    assert not list(empty.iterdir())  # nor does anything write where it was started


def test_a_record_names_the_commit_of_the_code_and_not_of_the_folder_one_stands_in(
    installed, tmp_path, monkeypatch
):
    target, _, _ = installed
    here = record.commit_of_the_code()
    assert here is None or re.fullmatch("[0-9a-f]{7,40}", here)
    if shutil.which("git"):
        name = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        for words in (["init", "-q"], [*name, "commit", "-q", "--allow-empty", "-m", "another project"]):
            said_by(["git", *words], tmp_path)
    monkeypatch.chdir(tmp_path)
    assert record.commit_of_the_code() == here
    monkeypatch.setattr(record, "__file__", str(target / "trainer" / "record.py"))
    assert record.commit_of_the_code() is None


def test_the_wheel_names_every_package():
    """A package that pyproject.toml does not name is missing from the wheel, and nowhere else."""
    named = re.search(r"^packages = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S)[1]
    there = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for top in ("mdm_core", "ui", "trainer")
        for init in (ROOT / top).rglob("__init__.py")
    }
    assert there - set(re.findall(r'"([^"]+)"', named)) == {"ui.record"}


@pytest.mark.parametrize(
    "name, told",
    [
        ("evidence failures", "--json"),
        ("evidence tables", "--measure"),
        ("evidence card", "--model"),
        ("bench table", "--out"),
    ],
)
def test_what_wants_a_clone_says_so(name, told, tmp_path, monkeypatch, capsys):
    """Evidence is made from records that a wheel does not hold; where they are not, one sentence says what to do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["trainer", *name.split()])
    with pytest.raises(SystemExit) as ended:
        index.main()
    said = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and "run this in a clone" in said and told in said
    assert not list(tmp_path.iterdir())
