"""What leaves the studio by hand or as a PNG comes back token by token; what only looks like ours is a picture."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from studio_hands import carve, settings

from mdm_core.diffusion.trajectory import Trajectory
from ui.bring import upload
from ui.bring.opening import Opening
from ui.export import export, sharelink
from ui.server.runs import Request
from ui.server.studio import Studio


@pytest.fixture
def studio(tiny):
    return Studio(lambda: tiny)


@pytest.fixture
def run(studio):
    return carve(studio, Request("generate", settings(steps=3, seed=5)))


def b64(data):
    return base64.b64encode(data).decode()


def opened(studio, data):
    answer = Opening(studio).upload({"file": b64(data)})
    return answer.get("ours", False), studio.store.get(answer["message"]["run"]), answer["message"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_png_of_ours_opens_with_its_tokens_prompt_seed_and_settings(tiny, studio, run, by_hand):
    tokens = np.array(run.records[-1].tokens, np.int32)
    if by_hand:
        tokens[:3] = tiny.vocab_size, 0, 1
    ours, again, message = opened(
        studio, export.png(tiny, run, len(run.records) - 1, tokens if by_hand else None)
    )
    assert ours and message["kind"] == "opened" and message["state"] == "done"
    assert np.array_equal(again.records[-1].tokens, tokens)
    assert (again.prompt, again.seed) == (run.prompt, run.seed)
    assert again.request.settings.chosen == run.request.settings.chosen


def resaved(data, **changes):
    """The same picture with other words in it; None leaves one out."""
    with Image.open(io.BytesIO(data)) as image:
        info = PngInfo()
        for name, text in {**image.text, **changes}.items():
            if text is not None:
                info.add_itxt(name, text, zip=name == "tokens")
        out = io.BytesIO()
        image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": None},  # saved before tokens were
        {"tokens": "x" * 40},
        {"tokens": b64(np.full(9999, 1, "<i4").tobytes())},
        {"settings": "{"},
        {"settings": "[" * 5000},
        {"settings": "3"},
        {"prompt": ""},
        {"prompt": "x" * 501},
        {"made_by": json.dumps(["Other", "0" * 16])},
        {"made_by": "5"},
    ],
)
def test_what_only_looks_like_ours_is_a_picture(tiny, studio, run, changes):
    ours, again, message = opened(studio, resaved(export.png(tiny, run, 1), **changes))
    assert not ours and message["kind"] == "upload" and again.ground is not None


def test_wrong_settings_are_as_the_model_has_them(tiny, studio, run):
    data = resaved(export.png(tiny, run, 1), settings=json.dumps({"guidance": 1e9, "seed": -4, "who": 1}))
    ours, again, _ = opened(studio, data)
    assert ours and again.seed == 0 and again.request.settings.chosen["steps"] >= 1
    assert again.request.settings.chosen["guidance"] == tiny.facts.defaults["guidance"]


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\0" * 99])
def test_other_files_say_nothing_of_themselves(data):
    assert upload.told(data) == {}


def test_links_and_json_hold_what_was_changed_by_hand(tiny, studio, run):
    tokens = np.array(run.records[-1].tokens, np.int32)
    tokens[4:9] = tiny.vocab_size
    sent = {"run": run.id, "tokens": b64(tokens.astype("<i4").tobytes())}
    exports = export.Exports(studio)
    (entry,) = sharelink.decode(exports.link(sent)["hash"], run.grid, run.vocab, run.made_by).entries
    assert entry.kind == "given" and np.array_equal(entry.tokens, tokens)
    assert entry.settings == run.request.settings
    loaded = Trajectory.from_json(json.loads(base64.b64decode(exports.make({**sent, "as": "json"})["data"])))
    assert len(loaded.records) == 1 and np.array_equal(loaded.records[0].tokens, tokens)
    assert loaded.prompt == run.prompt
    # without hands both hold the whole run
    assert (
        sharelink.decode(exports.link({"run": run.id})["hash"], run.grid, run.vocab).entries[0].kind
        == "generate"
    )


def test_a_part_that_is_missing_is_named_in_words(tiny):
    data = tiny.generate("a cat", steps=1).to_json()
    for name in ("format", "grid", "records"):
        with pytest.raises(ValueError, match=f"it has no “{name}”") as error:
            Trajectory.from_json({key: value for key, value in data.items() if key != name})
        assert "KeyError" not in str(error.value)
    with pytest.raises(ValueError, match="a part of it is of the wrong kind"):
        Trajectory.from_json(7)
