"""The house keeps its shape: imports run one way, names shadow nobody's, whatever has a main runs by its path."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path.relative_to(ROOT)
    for found in (
        ROOT.glob("*.py"),
        *((ROOT / top).rglob("*.py") for top in ("mdm_core", "ui", "trainer", "tests")),
    )
    for path in found
)
TRITON = importlib.util.find_spec("triton") is not None
MAINS = [
    path
    for path, text in ((path, (ROOT / path).read_text()) for path in FILES)
    if re.search(r"^if __name__ == ", text, re.M) and (TRITON or "triton" not in text)
]


def test_imports_run_one_way():
    # in a process of its own: the linter switches off the loggers that other tests listen to
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_only_triton_files_import_triton():
    for path in (ROOT / "mdm_core").rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {a.name.split(".")[0] for a in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
        assert "triton" not in names or path.stem.endswith("_triton"), path


def test_nothing_reads_or_writes_pickle():
    """But for one command, which reads what others published so as plain values alone."""
    reader = ROOT / "mdm_core/families/halton/convert.py"
    assert re.findall(r"torch\.load\(.*", reader.read_text()) == [
        'torch.load(file, map_location="cpu", weights_only=True)'
    ]
    assert "torch.save" not in reader.read_text() and "import pickle" not in reader.read_text()
    for folder in ("mdm_core", "ui", "trainer"):
        for path in (ROOT / folder).rglob("*.py"):
            if path == reader:
                continue
            assert not re.search(r"import pickle|torch\.load\(|torch\.save\(|np\.load\(", path.read_text()), (
                path
            )


def test_no_module_is_named_like_one_of_the_standard_library():
    """A file that is run by its path puts its folder first on Python's path, so that its neighbours would shadow."""
    assert len(FILES) > 150
    for path in FILES:
        assert not {path.stem, *path.parts[:-1]} & sys.stdlib_module_names, path


# Imports what is slow to import once, then runs every file as a process of its own, as `python FILE --help` would.
# Prints each file's status and the modules that it took from its own folder under a name without their package.
EVERY_HELP = """
import os, runpy, sys, tempfile, traceback
import torch._dynamo, numpy, PIL.Image, safetensors.torch, tokenizers, tqdm
for file in sys.argv[1:]:
    sys.stdout.flush()
    with tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
            folder = os.path.dirname(file)
            sys.argv, sys.path[0], status = [file, "--help"], folder, 0
            try:
                runpy.run_path(file, run_name="__main__")
            except SystemExit as end:
                status = end.code or 0
            except BaseException:
                status = traceback.print_exc() or 1
            stems = {name[:-3] for name in os.listdir(folder) if name.endswith(".py")}
            shadowed = sorted(stems & set(sys.modules) - {"__main__", "__init__"})
            if shadowed and "/tests/" not in folder + "/":  # tests import each other by plain names
                print("shadows", shadowed)
                status = 1
            sys.stdout.flush()
            os._exit(status if isinstance(status, int) else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        text = said.read()
    print(status, "usage:" in text, file, "" if not status else text[-800:])
"""


def elsewhere(tmp_path):
    """How a stranger runs a file: from another folder. The path stands for README's `pip install -e .`."""
    return {
        "cwd": tmp_path,
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
        "capture_output": True,
        "text": True,
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_every_file_with_a_main_prints_its_help(tmp_path):
    assert len(MAINS) > 25
    files = [str(ROOT / path) for path in MAINS]
    run = subprocess.run([sys.executable, "-c", EVERY_HELP, *files], **elsewhere(tmp_path), timeout=300)
    assert run.returncode == 0, run.stderr
    told = run.stdout.splitlines()
    assert len(told) == len(files) and all(line.startswith("0 True ") for line in told), run.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path",
    [next(p for p in MAINS if p.parent == folder) for folder in sorted({p.parent for p in MAINS})],
    ids=str,
)
def test_python_itself_runs_one_of_each_folder(path, tmp_path):
    """Without anything imported before, which could hide that a neighbour shadows a library."""
    run = subprocess.run([sys.executable, str(ROOT / path), "--help"], **elsewhere(tmp_path), timeout=120)
    assert run.returncode == 0 and "usage:" in run.stdout, run.stderr
