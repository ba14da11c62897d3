"""Ready for a Space: the card in the README, the requirements, the environment it sets, and ZeroGPU's rules."""

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from ui.record.browser import serving
from ui.server import zero_gpu

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def card():
    """The front matter of the README as {key: text}."""
    block = re.match(r"---\n(.*?)\n---\n", README, re.S)
    assert block, "README.md does not begin with a Space's card"
    return dict(line.split(": ", 1) for line in block[1].splitlines() if ": " in line)


def test_the_card_has_what_a_space_needs():
    told = card()
    assert told["sdk"] == "gradio" and (ROOT / told["app_file"]).is_file()
    assert told["license"] == "apache-2.0" and len(told["short_description"]) <= 60
    assert told["colorFrom"] in COLOURS and told["colorTo"] in COLOURS and told["title"] == "Chisel"
    import gradio

    assert told["sdk_version"].split(".")[0] == gradio.__version__.split(".")[0] == "6"
    assert re.fullmatch(r'"3\.1[0-3]"', told["python_version"])


COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def test_the_requirements_are_those_of_the_package():
    wanted = re.search(r"\ndependencies = \[(.*?)\n\]", (ROOT / "pyproject.toml").read_text(), re.S)[1]
    wanted = {re.match(r"[a-z]+", line.strip(' "'))[0] for line in wanted.strip().splitlines()}
    listed = (ROOT / "requirements.txt").read_text().splitlines()
    names = {re.match(r"[a-z]+", line)[0] for line in listed if line and not line.startswith(("#", "-"))}
    assert names == wanted


def environment(home):
    """What a Space sets, and nothing of the machine that runs the test."""
    kept = {
        k: os.environ[k]
        for k in ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TMPDIR", "LANG")
        if k in os.environ
    }
    return {
        **kept,
        "HOME": str(home),
        "SPACE_ID": "someone/chisel",
        "SYSTEM": "spaces",
        "SPACE_HOST": "someone-chisel.hf.space",
        "SPACE_AUTHOR_NAME": "someone",
        "SPACE_REPO_NAME": "chisel",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_ANALYTICS_ENABLED": "True",
        "GRADIO_SSR_MODE": "True",
        "CPU_CORES": "2",
        "MEMORY": "16Gi",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
    }


def test_it_starts_in_the_environment_of_a_space_without_a_network(tmp_path, tiny_folder):
    """HOME cannot be written to, every proxy is dead, SSR is asked for: the page is served all the same."""
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    try:
        with serving(
            "--model", tiny_folder, environment=environment(home), port_by="GRADIO_SERVER_PORT"
        ) as app:
            with urllib.request.urlopen(app.address, timeout=120) as answer:
                page = answer.read().decode()
                policy = answer.headers["content-security-policy"]
        assert '"title":"Chisel"' in page.replace(" ", "") and "https://*.hf.space" in policy
        # whatever Gradio writes into the page, it reaches no other host
        assert "connect-src 'self'" in policy
        assert not list(home.iterdir())
    finally:
        home.chmod(0o755)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    """A model folder of a few kilobytes."""
    from tiny_model import build_tiny

    from mdm_core.pipeline import Pipeline

    folder = tmp_path_factory.mktemp("tiny")
    config, codec, model, text = build_tiny()
    Pipeline.save(folder, codec, model, text, config)
    return str(folder)


# ---- ZeroGPU -------------------------------------------------------------------------------------------------


class Spaces:
    """A stand-in for the `spaces` package: counts what was lent."""

    def __init__(self):
        self.lent, self.seconds = 0, None

    def GPU(self, duration):
        self.seconds = duration

        def decorate(function):
            def lend(*args):
                self.lent += 1
                yield from function(*args)

            return lend

        return decorate


def test_only_carving_asks_for_the_gpu(tiny):
    spaces = Spaces()
    pipe = zero_gpu.wrap(tiny, tiny, spaces)
    assert pipe.grid == tiny.grid and pipe.vocab_size == tiny.vocab_size
    pipe.decode(np.zeros(tiny.grid, np.int32))
    assert spaces.lent == 0 and spaces.seconds == zero_gpu.SECONDS
    got = [r.tokens for r in pipe.stream("a cat", seed=3, steps=3)]
    assert spaces.lent == 1
    assert all(
        np.array_equal(a, b.tokens) for a, b in zip(got, tiny.stream("a cat", seed=3, steps=3), strict=True)
    )


def test_what_is_refused_costs_no_gpu(tiny):
    spaces = Spaces()
    pipe = zero_gpu.wrap(tiny, tiny, spaces)
    with pytest.raises(ValueError, match="the prompt is empty"):
        pipe.stream("")
    assert spaces.lent == 0


def test_spaces_is_imported_before_torch_where_it_exists(tmp_path):
    """With ZeroGPU's environment and a `spaces` on the path, app.py imports it first; without one it goes on."""
    (tmp_path / "spaces.py").write_text(
        "import sys\nassert 'torch' not in sys.modules\nprint('spaces first')\n"
    )
    code = "import app; from ui import launch; print('spaces' in __import__('sys').modules, launch.spaces is not None)"
    env = {**os.environ, "SPACES_ZERO_GPU": "true", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=240)
    assert out.stdout.split() == ["spaces", "first", "True", "True"], out.stderr
    env = {k: v for k, v in env.items() if k != "SPACES_ZERO_GPU"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=240)
    assert out.stdout.split() == ["False", "False"], out.stderr


def test_the_readme_tells_how_to_push_it():
    section = re.search(r"\n## Put it on a Space\n(.*?)\n## ", README, re.S)[1]
    assert len(section.splitlines()) <= 25
    assert "hf repos create" in section and "hf upload" in section
