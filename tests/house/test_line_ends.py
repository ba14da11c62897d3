"""Whatever becomes of a test, the whole line ends, says what it ran on, and of each failure what it was."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = {path}
faulthandler_timeout = 8
faulthandler_exit_on_timeout = true
"""
TESTS = {
    "test_fails.py": "def test_it():\n    assert False, 'a reason'\n",
    "test_hangs.py": "import time\n\n\ndef test_it():\n    time.sleep(600)\n",
    "test_passes.py": "def test_it():\n    pass\n",
}


def test_one_that_hangs_and_one_that_fails(tmp_path):
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    for name, text in TESTS.items():
        (tmp_path / "tests" / name).write_text(text)
    path = [str(ROOT / "tests" / "helpers"), str(ROOT)]
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(path=path))
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    line = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=tmp_path,
        env=clean,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert line.returncode == 1, line.stdout + line.stderr
    assert (
        "FAILED in call" in line.stderr and "test_fails.py::test_it: AssertionError: a reason" in line.stderr
    )
    assert line.stderr.startswith(f"PyTorch {torch.__version__} on ") and "amx " in line.stderr
    assert "Timeout (0:00:08)!" in line.stderr and "test_hangs.py" in line.stderr  # where it hung
    assert "crashed while running 'tests/test_hangs.py::test_it'" in line.stdout
    assert "2 failed, 1 passed" in line.stdout
