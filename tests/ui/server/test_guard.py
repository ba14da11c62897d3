"""What reaches Gradio: open and closed addresses, body limits, odd bodies, headers."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from studio_hands import Pipe, within_a_loop

from ui import page
from ui.server import guard
from ui.server.guard import HEADERS, LARGE_AT_ONCE, MAX_BODY, MAX_SMALL, TABS, Guard, shape


async def inner(scope, receive, send):
    """A stand-in for Gradio: answers with the length of the body it was given."""
    length = len((await receive())["body"]) if scope["method"] == "POST" else 0
    headers = [(b"content-type", b"text/plain"), (b"referrer-policy", b"origin")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(length).encode()})


def ask(path, method="GET", parts=(b"",), headers=(), guard=None):
    """(status, headers, body) of one request whose body arrives in `parts`."""
    sent, chunks = [], list(parts)

    async def receive():
        part = chunks.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(chunks)}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    run = (guard or Guard(inner))(scope, receive, send)
    with ThreadPoolExecutor(1) as pool:  # the browser tests keep a loop running in this thread
        pool.submit(lambda: asyncio.run(run)).result()
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


JOIN = "/gradio_api/queue/join"


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/theme.css", "/assets/index-1.js", "/static/fonts/a.woff2", "/gradio_api/info", JOIN]
    + ["/gradio_api/call/generate", "/gradio_api/call/generate/0a1b", "/gradio_api/heartbeat/ab12cd"],
)
def test_what_the_page_needs_is_open(path):
    assert ask(path)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/upload_progress",
        "/gradio_api/run/a/b",
        "/gradio_api/api/generate",
    ]
    + [
        "/gradio_api/file=/etc/passwd",
        "/file=app.py",
        "/gradio_api/file/app.py",
        "/gradio_api/proxy=http://x",
    ]
    + ["/monitoring", "/monitoring/summary", "/gradio_api/vibe-edit", "/gradio_api/process_recording"]
    + [
        "/gradio_api/stream/a",
        "/gradio_api/deep_link",
        "/gradio_api/dev/reload",
        "/docs",
        "/login",
        "/app.py",
    ]
    + ["/gradio_api/heartbeat/" + "a" * 65, "/gradio_api/heartbeat/../file=x", "/gradio_api/call/a/b/c"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_everything_else_is_closed(path, method):
    status, _, body = ask(path, method)
    assert status == 404 and json.loads(body) == {"detail": "There is nothing at this address."}


def test_other_methods_are_refused():
    assert ask("/", "DELETE")[0] == 405


def test_every_answer_keeps_the_page_at_home():
    for path in ("/", "/nowhere"):
        headers = ask(path)[1]
        for name in HEADERS:
            assert name.encode() in headers
    assert ask("/")[1][b"referrer-policy"] == b"origin"  # what Gradio says itself stays
    assert "connect-src 'self' data: blob:;" in HEADERS["content-security-policy"]


def test_a_body_is_passed_on_whole_or_refused_by_its_length():
    body = json.dumps({"data": ["x" * 1000]}).encode()
    assert ask(JOIN, "POST", [body[:10], body[10:]])[2] == str(len(body)).encode()
    claimed = [(b"content-length", str(MAX_BODY + 1).encode())]
    assert ask(JOIN, "POST", headers=claimed)[0] == 413
    assert ask(JOIN, "POST", headers=[(b"content-length", b"9" * 400)])[0] == 413
    assert ask(JOIN, "POST", headers=[(b"content-length", b"-1")])[0] == 413
    assert ask(JOIN, "POST", [b" " * 2**20] * 13)[0] == 413  # one that lied about it
    assert ask("/gradio_api/cancel", "POST", [b" " * (MAX_SMALL + 1)])[0] == 413


def test_few_large_bodies_at_once():
    guarded = Guard(inner)
    body = json.dumps({"data": ["x" * MAX_SMALL]}).encode()
    guarded.large = LARGE_AT_ONCE
    assert ask(JOIN, "POST", [body], guard=guarded)[0] == 503
    assert ask(JOIN, "POST", [b"{}"], guard=guarded)[0] == 200
    guarded.large -= 1
    assert ask(JOIN, "POST", [body], guard=guarded)[0] == 200
    assert guarded.large == LARGE_AT_ONCE - 1


def test_a_large_body_of_many_values_is_refused_by_counting_alone(monkeypatch):
    """Before anything reads it as JSON, which would take seconds for a few megabytes of brackets."""

    def read(body):
        raise AssertionError("it was read")

    monkeypatch.setattr(guard, "shape", read)
    for many in (b"1," * 40_000, b"[" * 70_000, b'{"a":' * 20_001, b"[1,{" * 20_000):
        assert len(many) > MAX_SMALL
        status, _, said = ask(JOIN, "POST", [many[:1000], many[1000:]])
        assert (status, json.loads(said)) == (400, {"detail": "The request holds too many values."})


def test_a_large_body_of_few_values_passes_and_a_small_one_is_not_counted():
    """A file is one value, however large: base64 holds no comma."""
    file = json.dumps({"data": [{"file": "A+/=" * 2**20}] + list(range(guard.MAX_PARTS - 10))}).encode()
    assert len(file) > 4 * 2**20 and ask(JOIN, "POST", [file])[2] == str(len(file)).encode()
    one_more = json.dumps({"data": ["A" * MAX_SMALL] + [0] * guard.MAX_PARTS}).encode()
    assert ask(JOIN, "POST", [one_more])[0] == 400
    small = json.dumps({"data": [0] * 21_000}, separators=(",", ":")).encode()
    assert len(small) <= MAX_SMALL and ask(JOIN, "POST", [small])[0] == 200


def test_a_large_body_is_read_beside_the_loop_and_a_small_one_on_it(monkeypatch):
    threads = []
    monkeypatch.setattr(guard, "shape", lambda body: threads.append((len(body), threading.get_ident())) or "")

    async def here(scope, receive, send):
        threads.append(("loop", threading.get_ident()))
        await inner(scope, receive, send)

    large = json.dumps({"data": ["x" * MAX_SMALL]}).encode()
    for body, beside in ((large, True), (b"{}", False)):
        threads.clear()
        assert ask(JOIN, "POST", [body], guard=Guard(here))[0] == 200
        (length, read), (_, loop) = threads
        assert length == len(body) and (read != loop) == beside


LOOKUP = "/gradio_api/component_server"


def crowd(count, monkeypatch, wait=0.2):
    """(most look-ups inside Gradio at once, answers in order) of `count` look-ups that end together."""
    monkeypatch.setattr(guard, "LOOKUP_WAIT_S", wait)
    inside, most, answers = [], [], []

    async def everyone():
        go_on = asyncio.Event()

        async def slow(scope, receive, send):
            inside.append(scope)
            most.append(len(inside))
            await go_on.wait()
            inside.pop()
            await inner(scope, receive, send)

        guarded = Guard(slow)

        async def one():
            sent = []

            async def receive():
                return {"type": "http.request", "body": b"{}", "more_body": False}

            async def send(message):
                sent.append(message)

            await guarded({"type": "http", "method": "POST", "path": LOOKUP, "headers": []}, receive, send)
            answers.append((sent[0]["status"], sent[1]["body"]))

        asks = [asyncio.create_task(one()) for _ in range(count)]
        await asyncio.sleep(3 * wait)
        go_on.set()
        await asyncio.gather(*asks)
        await one()  # and afterwards there is room again

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(everyone())).result()
    return max(most), answers


def test_only_so_many_look_ups_at_once_and_the_rest_get_a_sentence(monkeypatch):
    most, answers = crowd(guard.LOOKUPS_AT_ONCE + 5, monkeypatch)
    assert most == guard.LOOKUPS_AT_ONCE == 16
    busy = [json.loads(body) for status, body in answers if body != b"2"]
    assert busy == [{"error": guard.BUSY}] * 5 and {status for status, _ in answers} == {200}
    assert answers[-1] == (200, b"2")


def test_look_ups_wait_for_each_other_before_they_are_told_so(monkeypatch):
    monkeypatch.setattr(guard, "LOOKUPS_AT_ONCE", 2)
    inside, most = [], []

    async def quick(scope, receive, send):
        inside.append(1)
        most.append(len(inside))
        await asyncio.sleep(0.01)
        inside.pop()
        await inner(scope, receive, send)

    async def everyone():
        guarded, statuses = Guard(quick), []

        async def one():
            async def receive():
                return {"type": "http.request", "body": b"{}", "more_body": False}

            async def send(message):
                statuses.append(message.get("body", b""))

            await guarded({"type": "http", "method": "POST", "path": LOOKUP, "headers": []}, receive, send)

        await asyncio.gather(*(one() for _ in range(12)))
        return statuses

    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(lambda: asyncio.run(everyone())).result()
    assert said.count(b"2") == 12 and max(most) == 2


def test_a_look_up_that_fails_gives_its_place_back():
    async def broken(scope, receive, send):
        raise RuntimeError("inside")

    guarded = Guard(broken)
    for _ in range(guard.LOOKUPS_AT_ONCE + 2):
        with pytest.raises(RuntimeError):
            ask(LOOKUP, "POST", [b"{}"], guard=guarded)
    assert guarded.lookups._value == guard.LOOKUPS_AT_ONCE


@pytest.mark.parametrize(
    "body",
    [b"x", b"[1]", b'"text"', b"\xff\xfe", b"[" * 200_000, b'{"session_hash": 5}']
    + [
        json.dumps({"session_hash": "a" * 65}).encode(),
        b'{"session_hash": ["a"]}',
        b'{"session_hash": "../a"}',
    ]
    + [b'{"fn_index": "0"}', b'{"fn_index": 1e300}', b'{"fn_index": true}', b'{"component_id": 99999999999}']
    + [b'{"event_id": "<script>"}', b'{"api_name": {"a": 1}}', b'{"fn_name": 3}'],
)
def test_odd_bodies_are_refused_in_one_sentence(body):
    status, _, said = ask(JOIN, "POST", [body])
    sentence = json.loads(said)["detail"]
    assert status == 400 and sentence.endswith(".") and len(sentence) < 80


def test_good_bodies_pass():
    assert shape(b'{"data": [NaN], "session_hash": "ab12", "fn_index": 3, "trigger_id": null}') == ""
    assert shape(b"") == ""


def test_answers_that_nobody_fetches_are_bounded():
    queue = within_a_loop(page.build, Pipe)._queue
    waiting = queue.pending_messages_per_session
    for i in range(3 * TABS):
        waiting[str(i)] = object()
    assert len(waiting) == TABS and str(3 * TABS - 1) in waiting


def test_a_tab_in_the_middle_of_its_run_is_not_forgotten_for_newer_ones():
    waiting = within_a_loop(page.build, Pipe)._queue.pending_messages_per_session
    waiting["runs"], waiting["left"] = object(), object()
    mine = waiting["runs"]
    for i in range(3 * TABS):
        waiting[str(i)] = object()
        assert waiting["runs"] is mine  # as Gradio looks it up for every message
    assert len(waiting) == TABS and "left" not in waiting
    waiting["runs"] = waiting["runs"]
    del waiting["runs"]
    assert "runs" not in waiting and len(waiting) == TABS - 1
