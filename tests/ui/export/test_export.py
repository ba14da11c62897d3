"""Files that leave the studio: what is in them, that they open again, and that a prompt stays text in all of them."""

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from studio_hands import XSS, carve, edited, settings

from mdm_core.diffusion.trajectory import Trajectory
from ui.bring.opening import Opening, given
from ui.export import draw, export, replay
from ui.export.export import Exports
from ui.server import asks
from ui.server import form as limits
from ui.server.form import Refused
from ui.server.frames import pack
from ui.server.runs import Request, Run
from ui.server.studio import Studio


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


@pytest.fixture
def run(studio):
    return carve(studio, Request("generate", settings(seed=7, steps=5)))


def made(studio, run, kind, **more):
    """The bytes of one export."""
    return base64.b64decode(Exports(studio).make({"run": run.id, "as": kind, **more})["data"])


def test_a_png_tells_how_it_was_made(studio, run):
    image = Image.open(io.BytesIO(made(studio, run, "png", step=3)))
    assert image.size == (512, 512) and image.mode == "RGB"
    assert image.text["prompt"] == "a cat" and image.text["seed"] == "7"
    assert image.text["step"] == f"3 of {len(run.records) - 1}" and "changed" not in image.text
    told = json.loads(image.text["settings"])
    assert told["steps"] == 5 and told["guidance"] == 3.0 and told["kind"] == "generate"
    final = Image.open(io.BytesIO(made(studio, run, "png"))).resize((32, 32), Image.BOX)
    assert (
        np.abs(
            np.asarray(final, int) - np.asarray(studio.pipe.decode(run.records[-1].tokens.reshape(4, 4)), int)
        ).mean()
        < 8
    )


def test_a_png_shows_what_was_changed_by_hand(studio, run):
    tokens = np.array(run.records[3].tokens, np.int32)
    tokens[5], tokens[6] = (tokens[5] + 1) % run.vocab, run.vocab  # another token, and a masked cell
    image = Image.open(io.BytesIO(made(studio, run, "png", step=3, tokens=pack(tokens, "<i4"))))
    assert image.text["changed"] == "by hand"
    wanted = draw.frame(studio.pipe, run, 3, 512, tokens=tokens)
    assert np.array_equal(np.asarray(image), np.asarray(wanted))
    assert not np.array_equal(np.asarray(image), np.asarray(draw.frame(studio.pipe, run, 3, 512)))
    for wrong in ("?", pack(tokens[:-1], "<i4"), pack(tokens + run.vocab, "<i4"), 7):
        with pytest.raises(Refused):
            made(studio, run, "png", step=3, tokens=wrong)


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_animations_show_every_step_and_play_for_ever(studio, run, kind):
    data = made(studio, run, kind)
    image = Image.open(io.BytesIO(data))
    times = []
    for k in range(image.n_frames):
        image.seek(k)
        image.load()
        times.append(image.info["duration"])
    assert image.info["loop"] == 0 and image.size == (384, 384)
    assert image.n_frames == len(run.records) + 1 and times[-1] > 2000 and set(times[1:-1]) == {260}
    clean = draw.frame(studio.pipe, run, len(run.records) - 1, 384)
    error = np.asarray(image.convert("RGB"), float) - np.asarray(clean, float)
    psnr = 10 * np.log10(255**2 / (error**2).mean())
    assert psnr > 27, f"{psnr:.1f} dB"


def test_marks_and_stone_keep_their_colours_in_a_gif(studio, run):
    image = Image.open(io.BytesIO(made(studio, run, "gif")))
    image.seek(0)
    stone = np.asarray(image.convert("RGB"), int)[48, 48]
    assert np.abs(stone - [201, 196, 188]).max() <= 6
    image.seek(1)
    frame = np.asarray(image.convert("RGB"), int)
    blue = (np.abs(frame - np.array(draw.NEW)).max(-1) <= 10).sum()
    assert blue >= 100 * len(run.records[1].committed)


def test_json_reloads_in_the_library_and_opens_on_the_page(studio, run, tmp_path):
    data = made(studio, run, "json")
    (tmp_path / "run.json").write_bytes(data)
    loaded = Trajectory.load(tmp_path / "run.json")
    assert loaded.prompt == "a cat" and loaded.settings["seed"] == 7
    message = Opening(studio).trajectory({"file": base64.b64encode(data).decode()})["message"]
    again = studio.store.get(message["run"])
    for a, b in zip(run.records, again.records, strict=True):
        assert np.array_equal(a.tokens, b.tokens) and np.array_equal(a.confidence, b.confidence)
    assert again.request.settings == run.request.settings


def test_a_branch_is_saved_with_the_steps_it_grew_from(studio, run):
    branch = carve(
        studio, Request("branch", settings(steps=6), edited(run, 2, [1], 5), None, None, (run.id, 2)), run
    )
    told = json.loads(made(studio, branch, "json"))
    assert [r["step"] for r in told["records"]] == list(range(len(branch.records)))
    message = json.loads(re.search(rb'id="run">(.*?)</script>', made(studio, branch, "html"))[1])
    assert (
        len(message["frames"]) == len(branch.records) and message["prefix"] == 0 and message["parent"] is None
    )


def test_a_replay_page_holds_everything_and_asks_for_nothing(studio, run):
    page = made(studio, run, "html").decode()
    message = json.loads(re.search(r'id="run">(.*?)</script>', page)[1])
    assert len(message["frames"]) == len(run.records)
    assert all(f["image"].startswith("data:image/jpeg;base64,") for f in message["frames"][1:])
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert not re.search(r"@import|url\(", page)
    named = {name for _, attributes in Tags(page).found for name, _ in attributes}
    assert not named & {"src", "srcset", "href", "action", "data", "poster"}


class Tags(HTMLParser):
    """The elements of a page with their attributes, and its title."""

    def __init__(self, page):
        super().__init__()
        self.found, self.title, self._in = [], "", ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, attributes))
        self._in = tag

    def handle_data(self, data):
        self.title += data if self._in == "title" else ""


@pytest.mark.parametrize("words", XSS)
def test_a_prompt_cannot_leave_its_place_in_a_file(studio, run, words):
    plain = replay.page(studio, run).decode()
    run.request = dataclasses.replace(run.request, settings=settings(text=words))
    page = replay.page(studio, run).decode()
    assert Tags(page).found == Tags(plain).found
    assert Tags(page).title.strip() == f"Chisel: {limits.prompt(words)}"
    assert json.loads(re.search(r'id="run">(.*?)</script>', page)[1])["prompt"] == limits.prompt(words)
    assert re.fullmatch(r"chisel-[a-z0-9-]{1,48}-7-[0-9a-f]{8}\.png", export.file_name(run, "png"))
    assert Image.open(io.BytesIO(export.png(studio.pipe, run, 0))).text["prompt"] == limits.prompt(words)


@pytest.mark.parametrize(
    "words", ["熊猫", "größer", "-" * 80, "CON", "a" * 300, "..", "🐼", "x/y", "x\\y", ".hidden", "tab\tbed"]
)
def test_file_names_are_plain(words):
    run = Run(Request("generate", settings(text=words)), (4, 4), 32)
    assert re.fullmatch(r"chisel-[a-z0-9-]{1,48}-7-[0-9a-f]{8}\.gif", export.file_name(run, "gif"))


def test_names_of_different_files_never_collide(studio, run):
    last = len(run.records) - 1
    hand = np.array(run.records[last].tokens)
    hand[0] = (hand[0] + 1) % 32
    other = carve(studio, Request("generate", settings(editing=False, steps=3)))
    again = carve(studio, Request("generate", settings(editing=False, steps=3)))
    names = [
        export.file_name(run, "png", last),
        export.file_name(run, "png", 1),
        export.file_name(run, "png", last, hand),
        export.file_name(run, "webp"),
        export.file_name(other, "webp"),
        export.file_name(other, "png", len(other.records) - 1),
    ]
    assert len(set(names)) == len(names)
    assert "-step1-" in names[1] and "-step" not in names[0]
    # and the same file has the same name
    assert export.file_name(again, "webp") == names[4]


HOSTILE = [
    None,
    [],
    5,
    "png",
    {},
    {"as": "png"},
    {"as": "exe"},
    {"as": None},
    {"as": ["png"]},
    {"as": "png", "run": 5},
    {"as": "png", "run": ["x"]},
    {"as": "png", "run": "x" * 10**5},
    {"as": "../png"},
    {"as": {"a": 1}, "run": {}},
]


@pytest.mark.parametrize("data", HOSTILE)
def test_odd_requests_are_answered_with_one_sentence(studio, data):
    save, share = export.functions(studio)
    assert set(save(data)) == {"error"} and save(data)["error"].endswith(".")
    assert set(share(data)) == {"error"}


@pytest.mark.parametrize("step", [-1, 99, 1.5, "0", None, True, [], 10**30, float("nan")])
def test_steps_that_are_not_there_are_refused(studio, run, step):
    answer = export.functions(studio)[0]({"run": run.id, "as": "png", "step": step})
    assert answer == {"error": f"This picture has the steps 0 to {len(run.records) - 1}."}


def test_a_run_still_being_carved_is_not_saved(studio):
    request = asks.checked(Request("generate", settings()), 32)
    run = studio.begin(request, asks.Ask((request,)), "test")
    for function in export.functions(studio):
        assert "still being carved" in function({"run": run.id, "as": "png"})["error"]


def test_few_exports_at_once(studio, run, monkeypatch):
    monkeypatch.setattr(export, "WAIT_S", 0.05)
    exports = Exports(studio)
    exports._free.acquire(), exports._free.acquire()
    with pytest.raises(Refused, match="Others are saving"):
        exports.make({"run": run.id, "as": "png"})
    exports._free.release()
    assert exports.make({"run": run.id, "as": "png"})["name"].endswith(".png")


@pytest.mark.parametrize(
    ("grid", "patch", "size"),
    [
        ((6, 10), 8, (480, 288)),
        ((2, 8), 4, (512, 128)),
        ((16, 16), 8, (512, 512)),
        ((8, 4), 256, (1024, 2048)),
    ],
)
def test_a_picture_keeps_its_shape_and_is_never_made_smaller(grid, patch, size):
    """Whole multiples of the run's own picture, and each masked cell where it lies."""
    rows, columns = grid
    height, width = rows * patch, columns * patch

    class Plain:
        vocab_size = 9

        def decode(self, tokens):
            return Image.new("RGB", (width, height), (40, 150, 146))

    Plain.grid = grid
    tokens = np.zeros(rows * columns, np.int32)
    tokens[-1] = 9  # the last cell is masked
    run = Run(Request("generate", settings()), grid, 9)
    run.records = [given(tokens)]
    image = draw.frame(Plain(), run, 0, 512)
    assert image.size == size and image.width >= width and image.height >= height
    pixels, side = np.asarray(image), image.width // columns
    stone = (pixels[..., 1] > 170) & (pixels[..., 0] > 170)
    inside = np.zeros_like(stone)
    inside[-side:, -side:] = True
    assert stone[inside].mean() > 0.9 and not stone[~inside].any()
