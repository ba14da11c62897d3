"""The house keeps its shape: imports run one way, and Triton is touched only by the files named for it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


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
    for folder in ("mdm_core", "ui", "trainer"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not re.search(r"import pickle|torch\.load\(|torch\.save\(|np\.load\(", path.read_text()), (
                path
            )
