"""The studio without a browser: what it accepts, how it packs frames, how a run starts, stops and fails."""

import base64
import io
import re

import numpy as np
import pytest
from fake_family import told
from PIL import Image
from studio_hands import GOOD, Pipe, form, messages, record, unpack, within_a_loop
from studio_hands import Tab as Request

from mdm_core.settings import SampleConfig
from ui import launch, page
from ui.server import form as limits
from ui.server.frames import WINDOW, fixed_point, jpeg_uri, message, pack, pack_record
from ui.server.runs import Request as Asked
from ui.server.runs import Run
from ui.server.studio import BROKEN, Studio

V = 16384


# ---- frames ---------------------------------------------------------------------------------------------


def test_a_record_survives_packing():
    frame = pack_record(record(2, 40), "", 812)
    assert (frame["k"], frame["phase"], frame["ms"]) == (2, "unmask", 812)
    assert (unpack(frame["tokens"], "<i4") == record(2, 40).tokens).all()
    assert unpack(frame["set"], "<u2").tolist() == list(range(6))
    assert unpack(frame["edited"], "<i4").tolist() == [250, 3, 9]
    assert np.abs(unpack(frame["p"], "<u2") / 65535 - record(2, 40).confidence).max() < 1e-5
    assert np.abs(unpack(frame["h"], "<u2") / 1000 - record(2, 40).entropy).max() < 1e-3
    assert len(unpack(frame["locked"], "<u1")) == 256


def test_figures_that_are_no_numbers_do_not_reach_the_browser():
    assert fixed_point([np.nan, np.inf, -np.inf, 2.0, -1.0, 0.5], 65535).tolist() == [
        0,
        65535,
        0,
        65535,
        0,
        32768,
    ]
    assert pack([], "<i4") == ""


def test_pictures_travel_as_jpeg():
    uri = jpeg_uri(Image.new("RGBA", (128, 128), (40, 150, 146, 255)))
    head, body = uri.split(",")
    assert head == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert image.size == (128, 128)
    assert np.abs(np.asarray(image, int) - [40, 150, 146]).max() <= 4


def test_the_newest_frames_while_running_all_frames_at_the_end():
    settings = limits.check_run(**GOOD)
    run = Run(Asked("generate", settings), (16, 16), V)
    run.frames += [{"k": k} for k in range(WINDOW + 2)]
    assert [f["k"] for f in message(run, "running")["frames"]] == list(range(2, WINDOW + 2))
    assert [f["k"] for f in message(run, "done")["frames"]] == list(range(WINDOW + 2))
    assert run.id != Run(Asked("generate", settings), (16, 16), V).id


# ---- handlers -------------------------------------------------------------------------------------------


def test_a_run_streams_every_step_and_then_the_whole():
    pipe = Pipe()
    studio = Studio(lambda: pipe)
    out = messages(studio)
    sent = [o[0] for o in out]
    assert [m["state"] for m in sent] == ["running"] * 3 + ["done"]
    assert [m["frames"][-1]["k"] for m in sent] == [0, 1, 2, 2]
    assert len(sent[-1]["frames"]) == 3
    assert sent[0]["frames"][0]["image"] == ""  # all masked: nothing to decode
    assert sent[1]["frames"][-1]["image"].startswith("data:image/jpeg")
    assert pipe.asked == ("a panda", limits.check_run(**GOOD).sampler())
    assert out[0][1] == ""  # an older complaint is cleared
    assert out[0][4] == 7
    assert pipe.closed and studio.line.busy == 0


def test_refused_input_leaves_the_picture_alone():
    studio = Studio(Pipe)
    (out,) = messages(studio, text="")
    assert not isinstance(out[0], dict) or "frames" not in out[0]
    assert out[1].startswith("Type what you would like to see")


def test_stop_ends_the_run_and_keeps_what_is_there():
    pipe = Pipe()
    studio = Studio(lambda: pipe)
    stream = studio.generate(form(), None, Request())
    next(stream)
    studio.stop(Request("another tab"))
    next(stream)
    studio.stop(Request())
    (last,) = stream
    assert last[0]["state"] == "stopped"
    assert len(last[0]["frames"]) == 2
    assert pipe.closed and studio.line.busy == 0


def test_a_closed_tab_frees_the_run():
    pipe = Pipe()
    studio = Studio(lambda: pipe)
    stream = studio.generate(form(), None, Request())
    next(stream)
    assert studio.line.busy == 1
    stream.close()
    assert pipe.closed and studio.line.busy == 0


def test_a_refusal_of_the_pipeline_is_shown_as_a_sentence():
    studio = Studio(lambda: Pipe(fail=ValueError("the region is empty")))
    last = messages(studio)[-1]
    assert last[1] == "The region is empty."
    assert last[0]["state"] == "failed" and len(last[0]["frames"]) == 1


def test_an_unexpected_error_is_logged_and_not_shown(caplog):
    studio = Studio(lambda: Pipe(fail=RuntimeError("secret path /root")))
    last = messages(studio)[-1]
    assert last[1] == BROKEN
    assert "secret path" in caplog.text


def test_callers_without_a_tab_do_not_stop_each_other():
    studio = Studio(Pipe)
    first = studio.generate(form(), None, Request(None))
    second = studio.generate(form(), None, Request(None))
    next(first)
    assert next(second)[0] == {"v": 1, "state": "waiting", "ahead": 1}
    assert list(first)[-1][0]["state"] == "done"
    assert list(second)[-1][0]["state"] == "done"


# ---- page -----------------------------------------------------------------------------------------------


def test_the_page_offers_three_endpoints_and_fetches_nothing_from_elsewhere():
    from ui.stage.component import TEMPLATE

    blocks = within_a_loop(page.build, Pipe)
    names = {f.api_name for f in blocks.fns.values() if f.api_visibility == "public"}
    assert names == {"generate", "open_link", "stop"}
    kinds = {".js", ".css", ".html"}
    sources = "".join(f.read_text() for f in page.HERE.rglob("*.*") if f.suffix in kinds)
    # a link is followed by who presses it; nothing else names a place outside
    followed = re.sub(r'<a [^>]*href="https://[^"]+"', "<a", sources)
    assert "://" not in followed.replace("http://www.w3.org/2000/svg", "")
    assert "{{" not in TEMPLATE and "${" not in TEMPLATE
    assert "innerHTML" not in sources


def test_the_form_starts_at_the_opened_models_own_defaults():
    own = {"steps": 9, "guidance": 25, "edit": "remask", "polish": 0, "temperature": 2.5, "order": "entropy"}
    blocks = within_a_loop(page.build, Pipe, told(defaults=own, revises=True))
    values = {getattr(b, "label", None): b.value for b in blocks.blocks.values() if hasattr(b, "value")}
    assert (values["Steps"], values["Guidance"], values["Polish passes"]) == (9, SampleConfig().guidance, 0)
    assert (values["Order"], values["Edit mode"], values["Editing"]) == ("entropy", "remask", True)
    assert values["Temperature"] == SampleConfig().temperature  # what the form does not allow is not offered


def test_launch_stays_at_home():
    arguments = page.launch_arguments()
    assert arguments["share"] is False and arguments["allowed_paths"] == []
    assert arguments["enable_monitoring"] is False and arguments["run_history"] is False


# ---- app ------------------------------------------------------------------------------------------------


def test_a_missing_model_ends_the_program_with_one_sentence(capsys, tmp_path):
    assert within_a_loop(launch.main, ["--model", str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("The model cannot be loaded: ") and "nowhere" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "wrong", [["--port", "0"], ["--port", "70000"], ["--threads", "0"], ["--colour", "red"]]
)
def test_wrong_arguments_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        launch.arguments(wrong)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("app.py: error: ")
