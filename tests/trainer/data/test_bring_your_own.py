"""Bring your own, end to end: a folder of captioned pictures becomes a model that the app serves."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from picture_files import COLOURS, bomb, disc
from studio_hands import sent

from mdm_core.pipeline import Pipeline
from ui.record.browser import serving

ROOT = Path(__file__).resolve().parents[3]
SMALL = (
    "steps=80 data.batch_size=8 data.workers=0 model.kv_heads=2 model.heads=2 model.width=64 model.depth=2 "
    "model.ffn=128 model.token_heads=2 model.token_width=64 model.token_ffn=128 model.token_depth=1 "
    "minutes=0 lr=4e-3 matrix_lr=0.03 ema=0.95 log_every=10"
).split()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(run folder, what the command printed): the folder recipe on 40 discs and three files that are none."""
    root = tmp_path_factory.mktemp("mine")
    pictures, lines = root / "pictures", []
    pictures.mkdir()
    for i in range(40):
        colour = list(COLOURS)[i % 4]
        disc(colour, 128).save(pictures / f"{i:02d}.png")
        lines.append({"file_name": f"{i:02d}.png", "text": f"a {colour} disc"})
    (pictures / "bomb.png").write_bytes(bomb())
    lines += [{"file_name": "bomb.png", "text": "a bomb"}, {"file_name": "../../secret.png", "text": "x"}]
    (pictures / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    command = [
        sys.executable,
        "-m",
        "trainer",
        "train",
        "folder",
        f"data.path={pictures}",
        *SMALL,
        "--out",
        str(root / "run"),
        "--device",
        "cpu",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return root / "run", done.stdout


def test_it_learns_what_the_folder_shows(run):
    pipe = Pipeline.from_pretrained(run[0] / "model", "cpu")
    middle = {}
    for colour in COLOURS:
        pixels = np.asarray(pipe.generate(f"a {colour} disc", seed=1).image).astype(float)
        middle[colour] = pixels[48:80, 48:80].mean((0, 1))
        assert pixels[:16, :16].mean() > 220  # white in the corner
    nearest = {
        asked: min(COLOURS, key=lambda c, m=m: np.abs(m - COLOURS[c]).sum()) for asked, m in middle.items()
    }
    assert sum(a == n for a, n in nearest.items()) >= 3, middle


def test_unusable_files_are_named_at_the_end(run):
    assert "bomb.png" in run[1] and "80,000,000 pixels" in run[1]
    assert "../../secret.png" in run[1] and "points outside the folder" in run[1]


def test_the_card_tells_of_the_folder_and_not_of_the_atlas(run):
    card = json.loads((run[0] / "model" / "config.json").read_text())["card"]
    assert card["data"] == {"name": "pictures", "pictures": 40}  # one of 41 is held out
    assert {f"a {c} disc" for c in COLOURS} <= set(card["examples"])
    assert "objects" not in card and "words" not in card
    assert card["recipe"]["data"]["path"] == "pictures"  # and not where they lay


def test_the_app_serves_it(run):
    values = [*sent(text="a red disc", seed=0, steps=2, polish=0), None]
    with serving("--model", str(run[0] / "model")) as app:
        with urllib.request.urlopen(app.address, timeout=120) as page:
            assert page.status == 200 and "chisel" in page.read().decode().lower()
        body = json.dumps({"data": values}).encode()
        call = urllib.request.Request(
            f"{app.address}/gradio_api/call/generate", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(call, timeout=120) as answer:
            event = json.load(answer)["event_id"]
        with urllib.request.urlopen(f"{app.address}/gradio_api/call/generate/{event}", timeout=240) as stream:
            said = stream.read().decode()
    assert '"frames"' in said and "event: error" not in said
