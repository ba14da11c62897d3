"""Help is answered at once: no command waits for PyTorch to say what it can be asked.

Those of the trainer are in tests/trainer/test_commands.py, which knows their index.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "gradio", "safetensors")
CODE = """
import contextlib, runpy, sys
sys.argv = [{name!r}, "--help"]
with contextlib.suppress(SystemExit):
    runpy.{run}({name!r}, run_name="__main__")
print(*({heavy!r} & sys.modules.keys()), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("run", "name"),
    [("run_module", "mdm_core"), ("run_module", "mdm_core.fetch"), ("run_path", "app.py")],
)
def test_help_comes_without_pytorch(run, name):
    code = CODE.format(run=run, name=name, heavy=set(HEAVY))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("usage: ") and done.stderr.strip() == "", done.stderr


@pytest.mark.parametrize("module", ["mdm_core", "mdm_core.settings", "mdm_core.families.chisel.config"])
def test_settings_are_known_without_pytorch(module):
    code = f"import sys, {module}; print(*({set(HEAVY)!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.strip() == "", done.stdout + done.stderr


def test_the_package_gives_what_it_names():
    """Names and modules come when they are asked for, and a name that is none is refused as Python does."""
    code = """
import mdm_core
from mdm_core import *
assert all(getattr(mdm_core, name) is globals()[name] for name in mdm_core.__all__)
assert mdm_core.device.usable and set(mdm_core.__all__) <= set(dir(mdm_core))
assert not hasattr(mdm_core, "nothing") and not hasattr(mdm_core, "_nothing")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
