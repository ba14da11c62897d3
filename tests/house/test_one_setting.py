"""One setting, one place: a field that is added to `SampleConfig` is met in the library, on the command line, on the
page and its endpoint, in links, saved runs and scripts; with no other edit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEW = """    warmth: float = _is(
        0.5, Number(label="Warmth", help="How warm it is.", where="more", low=0, high=1, step=0.1)
    )

    def __post_init__"""


def test_a_new_setting_is_one_edit_and_is_met_everywhere(tmp_path):
    house, aside = tmp_path / "house", tmp_path / "aside"
    aside.mkdir()
    for package in ("mdm_core", "ui"):
        shutil.copytree(ROOT / package, house / package, ignore=shutil.ignore_patterns("__pycache__"))
    (house / "assets").symlink_to(ROOT / "assets")
    place = house / "mdm_core" / "settings.py"
    before = place.read_text()
    assert before.count("    def __post_init__") == 1
    place.write_text(before.replace("    def __post_init__", NEW))
    helpers = ROOT / "tests" / "helpers"
    done = subprocess.run(
        [sys.executable, str(helpers / "new_setting.py"), "--check", str(aside)],
        cwd=house,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(house), str(helpers)))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and done.stdout.endswith("found everywhere\n"), done.stderr[-3000:]


def test_every_setting_is_met_somewhere_and_no_name_is_taken_twice():
    from mdm_core.declared import WHERE
    from mdm_core.settings import SETTINGS
    from ui.server import form

    names = [control.name for name, setting in SETTINGS.items() for control in setting.controls(name)]
    assert len({"prompt", "seed", "ask", *names}) == 3 + len(names)
    assert all(setting.where in WHERE and setting.label and setting.help for setting in SETTINGS.values())
    assert {*names} == {*form.CONTROLS}, "every setting of today has its place on the page"
