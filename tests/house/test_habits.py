"""What a person would otherwise watch over: format, lint, types, and the size of files and folders."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOPS = ("mdm_core", "ui", "trainer", "tests")
MOST_LINES, MOST_FILES = 400, 12


def told(*command: str, at: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=at, capture_output=True, text=True, timeout=900
    )


@pytest.mark.parametrize("habit", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_has_nothing_to_say(habit):
    said = told("ruff", *habit, ".")
    assert said.returncode == 0, said.stdout + said.stderr


def test_types_are_what_they_say(tmp_path):
    """The whole of mypy's configuration is in pyproject.toml: strict for all but the helpers of tests.

    Asked of a copy: Gradio writes a .pyi beside every file with a component of ours, while other tests run too, and
    mypy would read that instead of the file.
    """
    for library, oldest in (("torch", "2.13"), ("numpy", "2.3")):
        if [int(part) for part in version(library).split(".")[:2]] < [
            int(part) for part in oldest.split(".")
        ]:
            pytest.skip(f"the types are those of {library} {oldest} and later")
    for top in TOPS:
        shutil.copytree(ROOT / top, tmp_path / top, ignore=shutil.ignore_patterns("*.pyi", "__pycache__"))
    for name in ("pyproject.toml", "app.py"):
        shutil.copy(ROOT / name, tmp_path)
    said = told("mypy", f"--cache-dir={ROOT / '.mypy_cache'}", at=tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr


def test_nothing_is_left_out_of_the_type_check():
    """No module of ours is excused, in the configuration or in its own first lines; kernels may lack annotations."""
    tomllib = pytest.importorskip("tomllib")
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert set(mypy["files"]) == {"mdm_core", "ui", "trainer", "tests/helpers", "app.py"}
    excuses = ("ignore", "disable", "allow", "follow", "exclude")
    for asked in (mypy, *mypy["overrides"]):
        named = asked.get("module", [])
        named = [named] if isinstance(named, str) else named
        others = [name for name in named if name.split(".")[0] not in (*TOPS, "app") and "." in name]
        if named and len(others) == len(named):  # libraries, which may come without types
            continue
        looser = {k for k, v in asked.items() if (k.startswith(excuses) and v) or v is False}
        kernels = named and all(name.endswith("_triton") for name in named)
        untyped = {"disallow_untyped_calls", "disallow_untyped_defs", "disallow_incomplete_defs"}
        untyped |= {"disallow_untyped_decorators", "check_untyped_defs"}
        assert looser <= (untyped if kernels else set()), (named, looser)
    for top in TOPS:
        for path in (ROOT / top).rglob("*.py"):
            assert path == Path(__file__) or "# mypy:" not in path.read_text(), path


def test_who_silences_the_type_checker_says_why():
    """`# type: ignore[code]  # because`: a code, and a reason behind it."""
    for top in TOPS:
        for path in (ROOT / top).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if path != Path(__file__) and re.search(r"#\s*type:\s*ignore", line):
                    assert re.search(r"# type: ignore\[[a-z, -]+\]  # \w+", line), f"{path}:{number}"


@pytest.mark.parametrize("top", TOPS)
def test_files_and_folders_can_be_read_at_a_sitting(top):
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / top).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > MOST_LINES
    }
    assert not long, f"more than {MOST_LINES} lines: split along a purpose: {long}"
    full = {
        str(folder.relative_to(ROOT)): names
        for folder in {path.parent for path in (ROOT / top).rglob("*.py")}
        if len(names := sorted(p.name for p in folder.glob("*.py") if p.name != "__init__.py")) > MOST_FILES
    }
    assert top == "tests" or not full, f"more than {MOST_FILES} modules in a folder: {full}"
