"""The real app with tiny weights, attacked over HTTP: odd values, runs of others, crowds, and 200 runs in a row."""

import base64
import json
import math
import re
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from picture_files import gradient
from picture_files import saved as as_file
from studio_hands import XSS, sent
from tiny_model import build_tiny

from mdm_core.pipeline import Pipeline
from ui.record.browser import serving
from ui.record.measure import resident_mib
from ui.server import form as limits

V, CELLS = 32, 16


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The app in a process of its own, on a 4x4 grid with a vocabulary of 32."""
    folder = tmp_path_factory.mktemp("tiny")
    config, codec, model, text = build_tiny()
    Pipeline.save(folder, codec, model, text, config)
    with serving("--model", str(folder)) as served:
        yield served


@pytest.fixture(scope="module")
def config(app):
    """What the app tells every browser: its components and events."""
    with urllib.request.urlopen(f"{app.address}/config", timeout=120) as answer:
        return json.load(answer)


def post(app, path, data, timeout=240):
    """(status, body) of one POST."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    request = urllib.request.Request(f"{app.address}{path}", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError as error:  # turned away before the whole body was sent
        assert isinstance(error.reason, ConnectionError | BrokenPipeError)
        return 413, ""


def event(app, number, data, session, timeout=120, **more):
    """All messages of one event, called as a browser calls it; a list with one status where it was turned away."""
    told = {"fn_index": number, "data": data, "session_hash": session, **more}
    status, body = post(app, "/gradio_api/queue/join", told)
    if status != 200:
        return [{"msg": "refused", "status": status, "body": body}]
    messages = []
    url = f"{app.address}/gradio_api/queue/data?session_hash={session}"
    with urllib.request.urlopen(url, timeout=timeout) as stream:
        for line in stream:
            if line.startswith(b"data:"):
                messages.append(json.loads(line[5:]))
                if messages[-1]["msg"] in ("process_completed", "close_stream"):
                    return messages
    return messages


def number_of(config, name):
    return next(d["id"] for d in config["dependencies"] if d["api_name"] == name)


def look_up(app, config, name, data, session="lookups"):
    """The answer of a server function, called as a browser calls it."""
    where = next(c["id"] for c in config["components"] if name in (c["props"].get("server_fns") or ()))
    told = {"component_id": where, "fn_name": name, "data": data, "session_hash": session}
    status, body = post(app, "/gradio_api/component_server", told)
    return status, json.loads(body) if body[:1] in "{[" else body


def generate(app, config, session, **changes):
    """(last message, notice) of one good or bad run."""
    values = sent(**{"steps": 3, "polish": 0, **changes})
    told = event(app, number_of(config, "generate"), [*values, None], session)
    frames, notice = None, ""
    for message in told:
        out = (message.get("output") or {}).get("data") or []
        if len(out) > 1:
            frames = out[0] if isinstance(out[0], dict) and out[0].get("frames") else frames
            notice = out[1].get("text", notice) if isinstance(out[1], dict) else notice
    return frames, notice, told


def clean(text):
    """An answer that tells a visitor nothing about the inside of the program."""
    for inside in ("Traceback", "site-packages", "/ui/", ".py", "mdm_core", "line "):
        assert inside not in text, text[:400]


ODD = [
    None,
    True,
    -1,
    0,
    1e308,
    2**70,
    0.1,
    "",
    "x",
    "x" * 20_000,
    "\x00",
    "é熊🐼",
    [],
    [[]],
    {},
    {"a": {"b": [1]}},
    *XSS[:5],
    [None] * 100,
    {"path": "/etc/passwd"},
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"__type__": "update", "value": 1},
    "data:image/png;base64,AAAA",
    "../../../etc/passwd",
    {"url": "http://127.0.0.1/"},
]


def test_every_event_takes_odd_values_without_breaking(app, config):
    """Each handler, named or private, with each odd value in each of its places and as its event data."""
    handlers = [d for d in config["dependencies"] if d["backend_fn"]]
    assert {d["api_name"] for d in handlers} >= {"generate", "open_link", "stop"}
    jobs = []
    for d in handlers:
        if not d["queue"]:
            continue
        width = len(d["inputs"])
        good = [*sent(), None] if d["api_name"] == "generate" else [None] * width
        for i, odd in enumerate(ODD):
            place = i % max(width, 1)
            data = [odd if j == place else value for j, value in enumerate(good)][:width]
            jobs.append((d["id"], data, {"event_data": odd, "trigger_id": d["targets"][0][0]}))
        jobs += [(d["id"], [], {}), (d["id"], [None] * 99, {}), (d["id"], [odd] * width, {})]

    def call(job):
        i, (number, data, more) = job
        return event(app, number, data, f"odd{i}", **more)

    with ThreadPoolExecutor(4) as pool:
        for messages in pool.map(call, enumerate(jobs)):
            clean(json.dumps(messages[-1]))
    frames, notice, _ = generate(app, config, "after")
    assert frames["state"] == "done" and notice == ""


@pytest.mark.parametrize("field", ["text", *limits.FIELDS[1:]])
def test_every_field_of_generate_is_checked_on_the_server(app, config, field):
    wrong = {"text": "x" * 501, "order": "../x", "schedule": 5, "edit_mode": "off", "editing": "yes"}.get(
        field, 10**10
    )
    frames, notice, _ = generate(app, config, f"field{field.replace('_', '')}", **{field: wrong})
    assert frames is None and notice.endswith(".") and 10 < len(notice) < 160


def test_not_a_number_is_refused(app, config):
    for value in (math.nan, math.inf, -math.inf):
        frames, notice, _ = generate(app, config, "nan", guidance=value)
        assert frames is None and notice.startswith("Guidance must be a number")


def test_every_look_up_takes_odd_values_without_breaking(app, config):
    names = [n for c in config["components"] for n in (c["props"].get("server_fns") or ())]
    assert {"save", "share", "upload_picture", "open_run", "preview"} <= set(names)
    for name in names:
        for odd in [
            *ODD,
            {"run": "x" * 40, "step": 0, "cell": 0, "as": "png", "tokens": "AAAA", "file": "AAAA"},
        ]:
            status, answer = look_up(app, config, name, odd)
            clean(json.dumps(answer))
            assert status == 200, (name, odd, status)
            if name in ("save", "share", "upload_picture", "open_run", "preview"):
                assert set(answer) == {"error"}, (name, odd)


def test_functions_that_are_none_cannot_be_called(app, config):
    page = config["components"][0]["id"]
    for name in ("__init__", "postprocess", "preprocess", "get_config", "unload", "", "x" * 99):
        told = {"component_id": page, "fn_name": name, "data": [], "session_hash": "a"}
        status, body = post(app, "/gradio_api/component_server", told)
        assert status in (404, 422) and "Traceback" not in body


def test_asks_for_runs_that_are_not_there_are_refused(app, config):
    generate_number = number_of(config, "generate")
    tokens = base64.b64encode(np.zeros(CELLS, "<i4").tobytes()).decode()
    base = {"kind": "repaint", "run": "0" * 16, "step": 0, "tokens": tokens, "locked": None}
    odd = [
        base,
        {**base, "run": 5},
        {**base, "run": ["a"]},
        {**base, "run": "x" * 9000},
        {**base, "kind": "__class__"},
    ]
    odd += [
        {**base, "run": None, "tokens": "AAAA"},
        {**base, "run": None, "tokens": tokens[:-4]},
        {**base, "step": -1},
    ]
    huge = base64.b64encode(np.full(CELLS, 2**31 - 1, "<i4").tobytes()).decode()
    odd += [
        {**base, "run": None, "tokens": huge},
        {**base, "count": 10**6, "role": "variation"},
        {**base, "role": "root"},
    ]
    for i, ask in enumerate(odd):
        told = event(app, generate_number, [*sent(), ask], f"ask{i}")
        text = json.dumps(told[-1])
        clean(text)
        assert '"frames"' not in text, ask


def test_a_run_is_reached_by_its_id_alone_and_ids_cannot_be_guessed(app, config):
    frames, _, _ = generate(app, config, "mine")
    assert len(frames["run"]) >= 16
    assert look_up(app, config, "share", {"run": frames["run"]})[1]["hash"].startswith("c2=")
    for other in (
        frames["run"][:-1],
        frames["run"] + "A",
        frames["run"].swapcase(),
        "*",
        "",
        "..",
        frames["run"] + "\0",
    ):
        answer = look_up(app, config, "share", {"run": other})[1]
        assert "no longer kept" in answer["error"]


def test_bodies_that_are_no_requests_are_turned_away(app):
    for body in (
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff" * 100,
        b"[" * 100_000,
        b'{"fn_index": 10000, "data": [], "session_hash": "a"}',
    ):
        status, text = post(app, "/gradio_api/queue/join", body)
        assert 400 <= status < 600 and "Traceback" not in text
    assert post(app, "/gradio_api/upload", b"x")[0] == 404
    assert post(app, "/gradio_api/run/generate", {"data": [*sent(), None]})[0] == 404
    assert post(app, "/gradio_api/queue/join", b" " * (13 * 2**20))[0] == 413


def test_stop_reaches_only_the_tab_that_pressed_it(app, config):
    out = {}
    slow = threading.Thread(target=lambda: out.update(run=generate(app, config, "slow", steps=64)[0]))
    slow.start()
    for stranger in ("other", "slo", "slow2", "SLOW"):
        told = {"fn_index": number_of(config, "stop"), "data": [], "session_hash": stranger}
        assert post(app, "/gradio_api/run/stop", told)[0] == 200
    slow.join(60)
    assert out["run"]["state"] == "done"


def test_more_clients_than_the_line_takes_get_a_sentence_and_all_recovers(app, config):
    """50 tabs at once on a line of 24: each is carved or told that the studio is full; none hangs, none mixes."""

    def visit(i):
        frames, notice, told = generate(app, config, f"crowd{i}", seed=i, steps=6)
        return i, frames, notice, told

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(visit, range(50)))
    carved = [(i, frames) for i, frames, _, _ in results if frames]
    refused = [(notice, told[0]) for _, frames, notice, told in results if not frames]
    assert len(carved) >= 20 and len(carved) + len(refused) == 50
    assert all(frames["seed"] == i and frames["state"] == "done" for i, frames in carved)
    for notice, told in refused:
        assert notice.startswith("The studio is full") or (told["msg"] == "refused" and told["status"] == 503)
    places = [m["output"]["data"][0]["ahead"] for _, _, _, told in results for m in told if _waiting(m)]
    assert places and max(places) <= 24 and min(places) == 1
    frames, notice, _ = generate(app, config, "afterwards")
    assert frames["state"] == "done" and notice == ""


def _waiting(message):
    out = (message.get("output") or {}).get("data") or [None]
    return isinstance(out[0], dict) and out[0].get("state") == "waiting" and "ahead" in out[0]


def test_the_same_picture_comes_out_alone_and_in_a_crowd(app, config):
    alone = generate(app, config, "alone", seed=5)[0]["frames"][-1]["tokens"]
    with ThreadPoolExecutor(6) as pool:
        crowd = list(pool.map(lambda i: generate(app, config, f"same{i}", seed=5)[0], range(6)))
    assert all(run["frames"][-1]["tokens"] == alone for run in crowd)
    assert len({run["run"] for run in crowd}) == 6


def test_memory_does_not_grow_over_200_identical_runs(app, config):
    def runs(n):
        for i in range(n):
            assert generate(app, config, f"memory{i % 3}")[0]["state"] == "done"
        return resident_mib(app.pid)

    runs(100)  # until what is kept on purpose (48 runs a tab) is full
    before = runs(20)
    after = runs(180)
    assert after - before < 6, f"{before} MiB, then {after} MiB"


def test_pictures_go_in_and_files_come_out_over_http(app, config):
    picture = base64.b64encode(as_file(gradient(64, 64))).decode()
    message = look_up(app, config, "upload_picture", {"file": picture})[1]["message"]
    for kind in ("png", "gif", "webp", "json", "html"):
        answer = look_up(app, config, "save", {"run": message["run"], "step": 0, "as": kind})[1]
        assert re.fullmatch(rf"chisel-an-uploaded-picture-0-[0-9a-f]{{8}}\.{kind}", answer["name"])
        assert len(answer["data"]) > 400
    saved = look_up(app, config, "save", {"run": message["run"], "step": 0, "as": "json"})[1]["data"]
    assert look_up(app, config, "open_run", {"file": saved})[1]["message"]["kind"] == "opened"
