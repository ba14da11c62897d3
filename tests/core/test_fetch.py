"""Names on the hub: fetched by one command with size and licence said first, found in the cache, and no socket else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import COMMIT, hub
from huggingface_hub import constants

from mdm_core import families
from mdm_core.fetch import __main__ as fetch
from mdm_core.hub import names
from mdm_core.hub.card import licence
from mdm_core.pipeline import Pipeline

ROOT = Path(__file__).parents[2]
TWIN = ROOT / "tests/golden/amused/halved"
NL = ROOT / "tests/golden/nl_diffusion/twin"
NAME = "amused/amused-256"
# prologue of a process that must not go online: sockets end it, whoever asks for them
HOOK = """
import sys
def hook(event, args):
    if event.startswith("socket.") and not allowed(event, args):
        raise SystemExit(f"SOCKET {event} {args[:2]}")
sys.addaudithook(hook)
"""
NO_SOCKETS = f"allowed = lambda event, args: False{HOOK}"
DRAW = f"{NO_SOCKETS}from mdm_core.__main__ import main\nsys.exit(main(sys.argv[1:]))"
# the studio listens itself: what reaches beyond this machine is forbidden
SHOW = f"""
def allowed(event, args):
    place = {{"socket.connect": 1, "socket.sendto": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0}}.get(event)
    where = None if place is None else args[place]
    return (where[0] if isinstance(where, tuple) else where) in (None, "127.0.0.1", "localhost", "::1")
{HOOK}from ui.launch import main
sys.exit(main(sys.argv[1:]))
"""


def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A process without the hub's variables that this one may have."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_"))}
    environment |= {"PYTHONPATH": str(ROOT), "NO_PROXY": "*", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **more}
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=300,
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub"


@pytest.fixture
def at(monkeypatch):
    """Tells the hub's client where the hub is."""

    def told(url: str) -> None:
        monkeypatch.setenv("HF_ENDPOINT", url)
        # the studio's tests tell the client of this process to stay offline
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("NO_PROXY", "*")

    return told


@pytest.fixture
def call(monkeypatch, capsys):
    """The command with somebody at the keyboard, as if it were a process."""

    def done(*arguments: str, say: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr("builtins.input", lambda _: say)
        capsys.readouterr()
        status = fetch.main(list(arguments))
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return done


def put(cache: Path, name: str = NAME, commit: str = COMMIT, model: Path = TWIN) -> Path:
    """A model in the cache, as the hub's client lays it there."""
    folder = cache / f"models--{name.replace('/', '--')}" / "snapshots" / commit
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(model, target_is_directory=True)
    return folder


# ---- the command ----------------------------------------------------------------------------------------------


def test_a_model_is_fetched_after_a_yes_and_opens_by_its_name(cache, at, call, tmp_path):
    extra = tmp_path / "published"
    extra.mkdir()
    for path in TWIN.rglob("*"):
        if path.is_file():
            (extra / path.relative_to(TWIN)).parent.mkdir(parents=True, exist_ok=True)
            (extra / path.relative_to(TWIN)).write_bytes(path.read_bytes())
    for name in ("transformer/diffusion_pytorch_model.safetensors", "assets/collage.png", "vqvae/model.bin"):
        (extra / name).parent.mkdir(exist_ok=True)
        (extra / name).write_bytes(b"x" * 5_000_000)
    with hub(NAME, extra) as (url, asked):
        at(url)
        refused = call(NAME, say="no")
        assert (
            refused.returncode == 2
            and "OpenRAIL++" in refused.stdout
            and "0.2 MB in 11 files" in refused.stdout
        )
        assert refused.stderr.strip() == f"error: {NAME} was not fetched: its licence needs a yes, or --yes"
        assert all(line.startswith("GET /api/") for line in asked) and names.find(NAME) is None
        said = call(NAME, say="yes")
        assert said.returncode == 0, said.stderr
        assert f"commit {COMMIT}" in said.stdout and f"python app.py --model {NAME}" in said.stdout
        loaded = {line.split(COMMIT + "/")[1] for line in asked if line.startswith("GET /amused")}
        wanted = {str(p.relative_to(TWIN)) for p in TWIN.rglob("*") if p.is_file()}
        # neither pickles nor pictures, nor fp32 weights where there are narrower ones
        assert loaded == wanted
        asked.clear()
        again = call(NAME, "--yes", "--revision", COMMIT)
        assert again.returncode == 0 and not any(line.startswith("GET /amused") for line in asked)
    found = names.find(NAME)
    assert found is not None and found.name == COMMIT
    pipe = Pipeline.from_pretrained(NAME, "cpu", torch.float32)
    assert pipe.facts.name == "aMUSEd 48" and pipe.facts.fingerprint == families.facts(TWIN).fingerprint


def test_a_free_licence_needs_no_yes():
    offers = {
        text: fetch.Offer(NAME, COMMIT, ("a",), 1_750_000_000, text) for text in ("mit", "openrail++", "")
    }
    assert {text for text in offers if text in fetch.FREE} == {"mit"}
    assert "1.75 GB in 1 files; licence: MIT; commit" in fetch.described(offers["mit"])
    assert "licence: the model's card names none (OpenRAIL++); commit" in fetch.described(offers[""])


def test_a_model_in_shards_is_fetched_from_the_root_alone(cache, at, call, tmp_path):
    name, extra = "nvidia/NL-Diffusion-Image", tmp_path / "published"
    shutil.copytree(NL, extra)
    for file in (
        "emu3_vqvae/model.safetensors",
        "modeling.py",
        "assets/collage.png",
        "merged/model.safetensors",
    ):
        (extra / file).parent.mkdir(exist_ok=True)
        (extra / file).write_bytes(b"x" * 5_000_000)
    with hub(name, extra, "nvidia-license") as (url, asked):
        at(url)
        refused = call(name, say="no")
        assert refused.returncode == 2
        for said in ("1.0 MB in 7 files", "not commercial", "needs a GPU of 24 GB; commit"):
            assert said in refused.stdout
        assert names.find(name) is None
        assert call(name, "--yes").returncode == 0
        loaded = {line.split(COMMIT + "/")[1] for line in asked if line.startswith("GET /nvidia")}
        assert loaded == {str(p.relative_to(NL)) for p in NL.rglob("*") if p.is_file()}
    assert Pipeline.from_pretrained(name, "cpu", torch.float32).facts.name == "NL-Diffusion-Image 16"


def test_other_language_models_are_not_fetched(cache, at, call, tmp_path):
    shutil.copytree(NL, tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    path.write_text(path.read_text().replace("nemotron_labs_diffusion_image", "llama"))
    with hub("some/llama", tmp_path / "other") as (url, asked):
        at(url)
        said = call("some/llama", "--yes")
    assert said.returncode == 2 and "some/llama is no model that opens here" in said.stderr
    assert all(line.startswith("GET /api/") for line in asked)


def test_what_cannot_be_fetched_is_said_in_one_sentence(cache, at, call, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.bin").write_bytes(b"x")
    with hub("some/model", tmp_path / "other") as (url, _):
        at(url)
        for name, sentence in (
            (
                "some/model",
                "some/model is no model that opens here: it needs transformer/config.json and .safetensors",
            ),
            ("some/where", "some/where cannot be found on the hub: "),
        ):
            said = call(name, "--yes")
            assert said.returncode == 2 and said.stderr.startswith(f"error: {sentence}"), said.stderr
            assert len(said.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "arguments,sentence",
    [
        (["../../etc"], "is no name of a model"),
        (["a/../b"], "is no name of a model"),
        (["amused"], "is no name of a model"),
        (["amused/amused-256/x"], "is no name of a model"),
        (
            ["llvictorll/Halton-MaskGIT"],
            "cannot be fetched: its files are pickles: .*mdm_core.families.halton",
        ),
        ([NAME, "--revision", "main"], "--revision must be a full commit"),
        ([NAME, "--revision", "../" * 13 + "x"], "--revision must be a full commit"),
    ],
)
def test_arguments_that_make_no_sense_cost_nothing(arguments, sentence, capsys):
    assert fetch.main(arguments) == 2
    said = capsys.readouterr()
    assert re.search(sentence, said.err) and said.err.count("\n") == 1 and not said.out


def test_of_a_repository_only_what_is_opened_is_needed():
    files = ["model_index.json", "README.md", "transformer/config.json", "tokenizer/merges.txt", "a.png"]
    files += ["transformer/w.safetensors", "transformer/w.fp16.safetensors", "vqvae/w.safetensors"]
    files += ["vqvae/w.bin", "x/y/z.json", "training/t.pt", "lora.safetensors"]
    assert set(fetch.needed(files)) == {*files[:4], "transformer/w.fp16.safetensors", "vqvae/w.safetensors"}


# ---- names ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["amused/amused-256", "MeissonFlow/Meissonic", "a/b", "llvictorll/Halton-MaskGIT", "x0/y_1.2"]
)
def test_names_of_models(name):
    assert names.is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "/a/b",
        "a/b/c",
        "../a",
        "a/..",
        "a/.b",
        "./b",
        "~/b",
        "a//b",
        "a/b.",
        "a/b--c",
        "a\\b/c",
        "a/b\n",
        "a b/c",
    ],
)
def test_what_is_no_name(name, cache):
    assert not names.is_name(name)


@pytest.mark.parametrize("name", ["a/../../b", "/nowhere/at/all", "~/nowhere at all", "..", "a/b/c"])
def test_paths_that_are_no_folder_stay_paths(name, cache):
    if name != "..":
        with pytest.raises(ValueError, match="is no model folder: it should hold config.json"):
            families.facts(name)
    else:
        with pytest.raises(ValueError, match="config.json is missing"):
            families.facts(name)


def test_a_folder_goes_before_a_name(cache, tmp_path, monkeypatch):
    put(cache, "some/model")
    monkeypatch.chdir(tmp_path)
    assert families.facts("some/model").name == "aMUSEd 48"
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "model").symlink_to(TWIN.parent / "plain")
    assert families.facts("some/model").name == "aMUSEd 32"


def test_of_several_revisions_the_last_that_was_fetched(cache):
    folders = [
        put(cache, commit=digit * 40, model=TWIN.parent / name)
        for digit, name in (("a", "plain"), ("b", "halved"))
    ]
    (folders[0].parent / "not-a-commit").mkdir()
    for newer, name in ((0, "aMUSEd 32"), (1, "aMUSEd 48")):
        for index, folder in enumerate(folders):
            os.utime(folder, (1, 100 if index == newer else 50))
        assert families.facts(NAME).name == name


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HF_HOME": "/x/y"},
        {"HF_HUB_CACHE": "/x/z"},
        {"XDG_CACHE_HOME": "/x"},
        {"HUGGINGFACE_HUB_CACHE": "/x/w"},
    ],
    ids=str,
)
def test_the_cache_is_where_the_hub_s_own_programs_look(variables, cache, monkeypatch):
    monkeypatch.delenv("HF_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    theirs = run("-c", "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)", **variables)
    assert str(names.home()) == theirs.stdout.strip()


def test_licences_are_read_from_the_card(tmp_path):
    for text, wanted in (
        ("---\nlicense: openrail++\n---\n", "OpenRAIL++"),
        ("---\ntags:\n- a\nlicense: 'apache-2.0'\n---\n# x", "Apache-2.0"),
        ("---\nlicense: other\nlicense_name: nvidia-license\n---\n", "nvidia-license"),
        ("license: mit\n", ""),
        ("---\ntags: []\n---\nlicense: mit\n", ""),
        ("", ""),
    ):
        (tmp_path / "README.md").write_text(text)
        assert licence(tmp_path) == wanted
    (tmp_path / "README.md").write_bytes(b"\xff\xfe" * 100)
    assert licence(tmp_path) == ""


# ---- offline --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, "nvidia/NL-Diffusion-Image", "some/model"])
def test_a_model_that_is_not_there_is_one_sentence_and_no_socket(name, tmp_path):
    size = {
        NAME: " (1.8 GB, OpenRAIL++)",
        "nvidia/NL-Diffusion-Image": " (25.7 GB, for a GPU of 24 GB, NVIDIA's licence: research and development only, "
        "not commercial)",
    }.get(name, "")
    sentence = (
        f"{name} is no model folder and not on this machine: if it is a model of the hub, "
        f"python -m mdm_core.fetch {name} brings it{size}"
    )
    picture = ["--out", str(tmp_path / "x.png")]
    said = run("-c", DRAW, "a fox", "--model", name, *picture, HF_HOME=str(tmp_path))
    assert (said.returncode, said.stderr.strip()) == (2, f"error: {sentence}")
    assert not (tmp_path / "x.png").exists()


def test_a_model_of_pickles_says_what_makes_a_folder_of_them(cache):
    for name in ("llvictorll/Halton-MaskGIT", "llvictorll/Halton-Maskgit"):
        with pytest.raises(ValueError, match=f"^{name} is no model folder: its files are pickles: load one"):
            families.facts(name)


def test_the_hook_would_see_a_socket():
    said = run("-c", f"{NO_SOCKETS}\nimport socket\nsocket.socket()")
    assert said.returncode == 1 and "SOCKET socket.__new__" in said.stderr


def test_a_model_in_the_cache_opens_without_a_socket(cache, tmp_path):
    put(cache)
    picture = ["--steps", "2", "--out", str(tmp_path / "x.png")]
    said = run("-c", DRAW, "a fox", "--model", NAME, *picture, HF_HOME=str(cache.parent))
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "x.png").stat().st_size > 100


def test_the_studio_says_the_same_and_asks_nobody(tmp_path):
    said = run("-c", SHOW, "--model", NAME, "--no-open", HF_HOME=str(tmp_path))
    assert said.returncode == 2, said.stderr
    assert f"The model cannot be loaded: {NAME} is no model folder and not on this machine" in said.stderr
    assert f"python -m mdm_core.fetch {NAME} brings it (1.8 GB, OpenRAIL++)." in said.stderr


def test_a_half_fetched_model_says_what_is_missing(cache):
    folder = put(cache)
    folder.unlink()
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "AmusedPipeline"}))
    with pytest.raises(ValueError, match="config.json is missing from the model folder"):
        families.facts(NAME)
