"""Looks for a setting that was declared a moment ago, `warmth`, in every place that has settings.

Called by tests/house/test_one_setting.py in a process of its own, on a copy of the code with one more field.
"""

import asyncio
import base64
import contextlib
import inspect
import io
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

from fake_family import told as told_facts
from studio_hands import Tab, form, sent
from tiny_model import build_tiny

import ui
from mdm_core import __main__ as command_line
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.config import load_config, save_config
from mdm_core.pipeline import Pipeline
from mdm_core.settings import SampleConfig
from ui import launch, page
from ui.bring import opening
from ui.export import envelope, export, replay, sharelink
from ui.learn.lab import Lab
from ui.server import form as limits
from ui.server.frames import message
from ui.server.studio import Studio, endpoint


def refused(call, kind, words):
    """call() ends in an error of this kind that says these words."""
    try:
        call()
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"not refused: {words}")


def check(folder):
    """All places; AssertionError at the first that lacks the setting. `folder` may be written to."""
    folder = Path(folder)
    config, codec, model, text = build_tiny()
    pipe = Pipeline(codec, text, TransformerBackbone(model), config)
    studio = Studio(lambda: pipe)

    # the library and its files
    too_warm: dict[str, Any] = {"warmth": 2}
    refused(lambda: SampleConfig(**too_warm), ValueError, "warmth must be a number from 0 to 1, got 2")
    assert vars(pipe.settings(warmth=0.25))["warmth"] == 0.25
    assert pipe.generate("a cat", steps=1, polish=0, warmth=0.25).settings["warmth"] == 0.25
    save_config(config, folder / "config.json")
    assert vars(load_config(folder / "config.json").sample)["warmth"] == 0.5

    # the command line
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        command_line.parse(["--help"])
    assert "--warmth X" in said.getvalue() and "how warm it is (0 to 1)" in " ".join(said.getvalue().split())
    assert command_line.parse(["a cat", "--warmth", "0.3"]).warmth == 0.3

    # the page: its fields, its endpoint and its parameters, what its scripts are told
    async def built():
        return page.build(lambda: pipe, told_facts(defaults={"warmth": 0.75}))

    blocks = asyncio.run(built())
    (field,) = (b for b in blocks.blocks.values() if getattr(b, "label", None) == "Warmth")
    assert (field.minimum, field.maximum, field.step, field.value) == (0, 1, 0.1, 0.75)
    assert field.elem_id == "warmth" and field.info == "How warm it is."
    parameters = blocks.get_api_info()["named_endpoints"]["/generate"]["parameters"]
    (told,) = (p for p in parameters if p["parameter_name"] == "warmth")
    assert told["parameter_has_default"] and told["parameter_default"] == 0.75
    assert "warmth" in inspect.signature(endpoint(studio.generate)).parameters
    arguments = page.launch_arguments(facts=told_facts(defaults={"warmth": 0.75}))
    meta = re.match(r'<meta name="chisel" content="(.*?)">', arguments["head"])
    assert meta is not None
    facts = json.loads(unescape(meta[1]))
    assert facts["form"]["warmth"] == 0.75 and list(facts["form"]) == list(limits.FIELDS)
    assert len(sent()) == len(limits.FIELDS)

    # the handler and its check
    wrong = list(studio.generate(form(warmth=3), None, Tab()))
    assert [out[1] for out in wrong] == ["Warmth must be a number from 0 to 1; 3 is outside."]
    made = list(studio.generate(form(steps=2, polish=0, warmth=0.25), None, Tab()))[-1][0]
    assert made["settings"]["warmth"] == made["form"]["warmth"] == 0.25
    run = studio.store.get(made["run"])
    assert run.request.sampler()["warmth"] == 0.25  # what the lab heals with, too
    assert list(Lab(studio).heals(run, 10, 1, Ticket()))[-1]["state"] == "done"

    # a link, a saved run, a picture, a replay page
    link = sharelink.encode(run, studio.store)
    again = sharelink.decode(link, run.grid, run.vocab).entries[-1].settings
    assert again == run.request.settings
    shown = dict(zip(limits.FIELDS, opening.form(again, limits.defaults(pipe)), strict=True))
    assert shown["warmth"] == 0.25
    saved = base64.b64encode(export.as_json(run)).decode()
    other = opening.Opening(studio).trajectory({"file": saved})["message"]
    assert other["settings"]["warmth"] == other["form"]["warmth"] == 0.25
    assert export.settings_of(run)["warmth"] == 0.25
    assert ["Warmth", 0.25] in replay.labelled(run)

    # an older link or file does not say: it is as the model has it
    older = envelope.opened(link.removeprefix(sharelink.PREFIX), 2, 10**5)
    del older["r"][0][2]["warmth"]
    older = sharelink.decode(envelope.sealed(json.dumps(older).encode()), run.grid, run.vocab)
    shown = dict(
        zip(limits.FIELDS, opening.form(older.entries[-1].settings, limits.defaults(pipe)), strict=True)
    )
    assert "warmth" not in older.entries[-1].settings.chosen and shown["warmth"] == 0.5

    # the scripts
    if shutil.which("node"):
        stage = (Path(ui.__file__).parent / "stage").as_uri()
        frames = [frame | {"image": ""} for frame in made["frames"]]  # node has no pictures
        told = message(run, "done") | {"frames": frames}
        script = folder / "again.mjs"
        script.write_text(
            f'import {{ again, fill }} from "{stage}/ask/ask.js";\n'
            f'import {{ Run }} from "{stage}/run/run.js";\n'
            f"const initial = {json.dumps(facts['form'])}, told = {json.dumps(told)};\n"
            "const run = new Run(told); run.take(told);\n"
            "const { ask, changes } = again(initial, run);\n"
            "const names = Object.keys(initial);\n"
            'console.log(fill(names, Object.values(initial), ask, changes, "", true)[names.indexOf("warmth")]);\n'
        )
        done = subprocess.run(["node", script], capture_output=True, text=True, timeout=60)
        assert done.stdout.strip() == "0.25", done.stderr
    assert launch.known_facts(str(folder)).defaults["warmth"] == 0.5


class Ticket(Tab):
    """Nobody cancels."""

    cancelled = False


if "--check" in sys.argv:
    check(sys.argv[-1])
    print("found everywhere")
