"""What people have made still opens: a sample of every link, saved run, picture and replay page that was ever written.

The files in tests/golden were made by the versions that they name. They are never made anew: a format that changes
gets samples of its own beside them.
"""

import base64
import dataclasses
import io
import json
import re
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image
from studio_hands import Tab, carve, settings

from mdm_core.diffusion.trajectory import Trajectory
from mdm_core.settings import EDITS, ORDERS, SCHEDULES, SETTINGS
from ui.bring.opening import Opening
from ui.export import envelope, export, gamelink, replay, sharelink
from ui.learn.sampler.game import Game
from ui.server import form as limits
from ui.server.frames import message
from ui.server.runs import Request
from ui.server.studio import Studio

GRID = (4, 4)
V = 32

GOLDEN = Path(__file__).parents[1] / "golden"
LINKS = json.loads((GOLDEN / "links.json").read_text())
MORE = json.loads((GOLDEN / "more-links.json").read_text())  # of two runs, and of a game
SAMPLES = [
    pytest.param(told, link, id=f"{told['name']} {link[:2]}") for told in LINKS for link in told["links"]
]
PAGE = (GOLDEN / "replay-1.html").read_text()


def asked(told):
    """The settings that a link holds: a branch asks for its steps from the start, and carves what is left of them."""
    return told.get("asked", told["settings"])


def embedded(page):
    """The message inside a replay page."""
    return json.loads(re.search(r'<script type="application/json" id="run">(.*?)</script>', page, re.S)[1])


@pytest.mark.parametrize("told, link", SAMPLES)
def test_every_link_ever_made_opens_with_what_it_was_made_with(exact, told, link):
    assert sharelink.decode(link, GRID, V).entries[-1].settings.sampler() == asked(told)
    studio = Studio(lambda: exact)
    sent = [o[0] for o in Opening(studio).link(link, Tab()) if isinstance(o[0], dict) and o[0].get("frames")]
    run = studio.store.get(sent[-1]["run"])
    assert (sent[-1]["state"], run.prompt, len(run.records)) == (
        told["state"],
        told["prompt"],
        told["records"],
    )
    assert run.records[-1].tokens.tolist() == told["tokens"]


def test_the_samples_hold_every_kind_order_schedule_and_edit_mode():
    def seen(name):
        return {told["settings"][name] for told in LINKS}

    assert {told["kind"] for told in LINKS} == {*sharelink.CARVED, "upload"}
    assert seen("order") == set(ORDERS) and seen("schedule") == set(SCHEDULES) and seen("edit") == set(EDITS)
    assert {link[:3] for told in LINKS for link in told["links"]} == {"c1=", "c2="}


def test_sorted_tables_change_no_link(monkeypatch):
    """The order in which the form offers its choices is nobody's format, nor that of the settings."""
    turned = {}
    for name, setting in reversed(SETTINGS.items()):
        choices = tuple(sorted(getattr(setting, "choices", ()), reverse=True))
        turned[name] = dataclasses.replace(setting, choices=choices) if choices else setting
    for module in (limits, sharelink):
        monkeypatch.setattr(module, "SETTINGS", turned)
    for told in LINKS:
        for link in told["links"]:
            assert sharelink.decode(link, GRID, V).entries[-1].settings.sampler() == asked(told)


def inside(link):
    """The JSON of a link of today, without the model that made it: older samples did not say."""
    data = envelope.opened(link.removeprefix(sharelink.PREFIX), 2, 10**6)
    data.pop("by", None)
    return data


def test_what_is_written_today_is_the_newest_sample(exact):
    """Another way to write links, even one that is read, is another format: it needs another name and a sample."""
    told = next(told for told in LINKS if told["name"] == "generate")
    studio = Studio(lambda: exact)
    run = carve(studio, Request("generate", settings(seed=7, polish=1)))
    link = sharelink.encode(run, studio.store)
    assert json.dumps(inside(link)) == json.dumps(inside(told["links"][-1]))
    run.made_by = None
    assert sharelink.encode(run, studio.store) == told["links"][-1]


def test_a_link_of_two_runs_opens_as_it_did(exact):
    told = MORE["pair"]
    made = []
    studio = Studio(lambda: exact)
    for beside, run in enumerate(told["runs"]):
        out = Opening(studio).link(told["link"], Tab(), beside=bool(beside))
        sent = [o[0] for o in out if isinstance(o[0], dict) and o[0].get("frames")]
        made.append(studio.store.get(sent[-1]["run"]))
        assert (made[-1].prompt, made[-1].request.settings.sampler()) == (run["prompt"], run["settings"])
        assert [record.tokens.tolist() for record in made[-1].records] == run["tokens"]
        made[-1].made_by = None
    # and is written so today
    assert sharelink.encode_pair(*made, tuple(told["seen"]), studio.store) == told["link"]


def test_a_link_of_a_game_opens_as_it_did(exact):
    told = MORE["game"]
    game = Game(Studio(lambda: exact))
    answers = list(game.decide(gr.EventData(None, {"link": told["link"]}), Tab()))
    run = game.studio.store.get(answers[-1]["run"])
    assert (run.prompt, run.request.settings.sampler()) == (told["prompt"], told["settings"])
    assert [record.tokens.tolist() for record in run.records] == told["tokens"]
    assert list(run.heats) == told["heats"] and len(answers) == len(run.records)
    run.made_by = None
    assert gamelink.encode(run) == told["link"]


def test_a_saved_run_of_the_studio_opens(exact):
    data = (GOLDEN / "run-1.json").read_bytes()
    studio = Studio(lambda: exact)
    said = Opening(studio).trajectory({"file": base64.b64encode(data).decode()})["message"]
    run = studio.store.get(said["run"])
    told = next(told for told in LINKS if told["name"] == "branch")
    assert run.records[-1].tokens.tolist() == told["saved"] and len(run.records) == told["records"]
    assert run.request.settings.sampler() == told["settings"]
    again = json.loads(export.as_json(run))
    again.pop("made_by", None)  # older samples did not say
    assert again["records"] == json.loads(data)["records"] and again.keys() == json.loads(data).keys()
    assert Trajectory.load(GOLDEN / "run-1.json").settings["kind"] == "branch"


def test_a_saved_picture_tells_what_it_was_made_with(exact):
    told = next(told for told in LINKS if told["name"] == "branch")
    with Image.open(GOLDEN / "picture-1.png") as picture:
        text = dict(picture.text)
    assert text["Software"] == "Chisel" and text["prompt"] == told["prompt"] and text["seed"] == "8"
    assert json.loads(text["settings"]) == {"kind": "branch", **told["settings"]}
    studio = Studio(lambda: exact)
    run = carve(studio, Request("generate", settings(seed=7)))
    now = dict(Image.open(io.BytesIO(export.png(exact, run, 3))).text)
    assert (
        now.keys() - {"made_by", "tokens"} == text.keys()
        and json.loads(now["settings"]).keys() == json.loads(text["settings"]).keys()
    )


def test_the_wire_format_of_a_replay_page_is_still_version_1(exact):
    kept = embedded(PAGE)
    studio = Studio(lambda: exact)
    run = carve(studio, Request("generate", settings(seed=7)))
    now = embedded(replay.page(studio, run).decode())
    assert kept["v"] == now["v"] == message(run, "done")["v"] == 1
    assert (
        kept.keys() == now.keys() - {"told", "made_by"}
        and kept["frames"][0].keys() == now["frames"][0].keys()
    )
    told = next(told for told in LINKS if told["name"] == "branch")
    tokens = np.frombuffer(base64.b64decode(kept["frames"][-1]["tokens"]), "<i4")
    assert tokens.tolist() == told["saved"]
