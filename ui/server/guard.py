"""What reaches Gradio at all: only the addresses this page uses, with bodies of a sane size and shape.

Gradio serves more than our page needs: file uploads to the server's disk, files from its cache, a proxy, direct
calls that pass the queue by. Each is closed here, in front of it, rather than trusted to stay harmless. The page
sends pictures and saved runs inside its events, so no file of a visitor is ever written to disk.
"""

import asyncio
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from ui.server import address
from ui.server.light import Light

log = logging.getLogger("chisel")

# of a file from a visitor, as it lies on the disk; in a request it is base64, with JSON around it
PICTURE_BYTES = 8 * 2**20
MAX_BODY = PICTURE_BYTES * 3 // 2
MAX_SMALL = 64 * 2**10  # every other request
MAX_PARTS = 20_000  # values in a large body: it is large for its one file, and takes no time to read
LARGE_AT_ONCE = 4
LOOKUPS_AT_ONCE = 16  # of the server's 80 threads, the rest of which stay with the line
LOOKUP_WAIT_S = 10.0
BUSY = "Many people are looking things up right now: try again in a moment."
TABS = 128

API = "/gradio_api"
# Addresses the page and gradio_client ask for. Everything else is answered with 404.
OPEN = re.compile(
    r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/pwa_icon(/\d+)?"
    r"|/(assets|static)/[^?#]*|/svelte/[^?#]*"
    rf"|{API}/(info|openapi\.json|startup-events|app_id|theme\.css|login_check|cancel|reset|component_server)/?"
    rf"|{API}/queue/(join|data|status)/?"
    rf"|{API}/heartbeat/[A-Za-z0-9_-]{{1,64}}"
    rf"|{API}/run/[a-z_]{{1,40}}/?"  # Stop, which must not wait in a queue; Gradio refuses all others here
    rf"|{API}/call/[a-z_]{{1,40}}(/[A-Za-z0-9_-]{{1,64}})?"
)
# Where a large body is right: what brings a picture or a saved run.
LARGE = re.compile(rf"{API}/(queue/join|component_server|call/[a-z_]{{1,40}})/?")
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

LOOKUP = re.compile(rf"{API}/component_server/?")

HEADERS = {
    # Gradio's page needs inline and evaluated scripts; what matters is that nothing is asked of another host.
    "content-security-policy": (
        "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
        "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; object-src 'none'; "
        "base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def headers(embed: Iterable[str] = ()) -> dict[str, str]:
    """What every answer carries; `embed` names origins that may show the page in a frame, besides Spaces."""
    policy = " ".join([HEADERS["content-security-policy"], *embed])  # frame-ancestors stands last
    return {**HEADERS, "content-security-policy": policy}


class Guard:
    """ASGI middleware: closed addresses, body limits, and the headers that keep the page at home.

    `embed` are origins that may frame the page; `largest` is the largest body, in bytes, where a file may come.
    """

    def __init__(
        self, app: Callable[..., Awaitable[None]], embed: Iterable[str] = (), largest: int = MAX_BODY
    ) -> None:
        self.app = app
        self.headers = headers(embed)
        self.largest = max(largest, MAX_BODY)
        self.large = 0  # large bodies being read or worked on now
        self.lookups = asyncio.Semaphore(LOOKUPS_AT_ONCE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None  # the page opens no websockets
        send = self._with_headers(send)
        path = address.without_prefix(scope["path"], scope.get("root_path") or "")
        if path is None:
            return await _forward(send, scope)
        if path != scope["path"]:
            scope = {**scope, "path": path, "raw_path": path.encode()}
        if not OPEN.fullmatch(path):
            return await _refuse(send, 404, "There is nothing at this address.")
        if scope["method"] not in ("GET", "HEAD", "POST", "OPTIONS"):
            return await _refuse(send, 405, "This address does not know that method.")
        if scope["method"] == "POST":
            return await self._post(scope, receive, send)
        await self.app(scope, receive, send)

    async def _post(self, scope: Message, receive: Receive, send: Send) -> None:
        """Reads the body up to its limit, looks at its shape, and only then lets Gradio see it."""
        most = self.largest if LARGE.fullmatch(scope["path"]) else MAX_SMALL
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or len(said) > 12 or int(said) > most:
            return await _refuse(send, 413, f"That is too large: at most {most // 2**10:,} KiB fit here.")
        counted = False
        try:
            body, more = bytearray(), True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > most:
                    return await _refuse(
                        send, 413, f"That is too large: at most {most // 2**10:,} KiB fit here."
                    )
                if len(body) > MAX_SMALL and not counted:
                    if self.large >= LARGE_AT_ONCE:
                        return await _refuse(send, 503, "Too many uploads at once: try again in a moment.")
                    self.large, counted = self.large + 1, True
            given = bytes(body)
            del body
            wrong = many(given)  # by counting, in less time than the body took to arrive
            if not wrong:  # the rest of a large one is read beside the loop, where it holds up nobody
                wrong = await asyncio.to_thread(shape, given) if counted else shape(given)
            if wrong:
                return await _refuse(send, 400, wrong)
            await self._answer(scope, _replay(given, receive), send)
        finally:
            self.large -= counted

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        """Lets Gradio answer; look-ups, each of which takes a thread at once, only so many at a time."""
        if not LOOKUP.fullmatch(scope["path"]):
            return await self.app(scope, receive, send)
        try:
            await asyncio.wait_for(self.lookups.acquire(), LOOKUP_WAIT_S)
        except asyncio.TimeoutError:
            return await _say(send, 200, {"error": BUSY})  # as a look-up of ours says it
        try:
            await self.app(scope, receive, send)
        finally:
            self.lookups.release()

    def _with_headers(self, send: Send) -> Send:
        """A send that adds our headers to every answer."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                have = {name.lower() for name, _ in message.get("headers", [])}
                extra = [(k.encode(), v.encode()) for k, v in self.headers.items() if k.encode() not in have]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        return add


def many(body: bytes) -> str:
    """What is wrong with a body that holds thousands of values, in one sentence; empty for all others."""
    if len(body) > MAX_SMALL and body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_PARTS:
        return "The request holds too many values."
    return ""


def shape(body: bytes) -> str:
    """What is wrong with the body of a POST, in one sentence; empty when nothing is."""
    if not body:
        return ""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return "The request must be JSON."
    if not isinstance(data, dict):
        return "The request must be a JSON object."
    for name in ("session_hash", "event_id", "api_name"):
        value = data.get(name)
        if value is not None and not (isinstance(value, str) and NAME.fullmatch(value.strip("/"))):
            return f"{name} must be a short name of letters and digits."
    for name in ("fn_index", "trigger_id", "component_id"):
        value = data.get(name)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**31
        ):
            return f"{name} must be a whole number."
    if data.get("fn_name") is not None and not isinstance(data["fn_name"], str):
        return "fn_name must be text."
    return ""


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body that was read, then whatever comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, status: int, sentence: str) -> None:
    """An answer of one sentence, as the JSON that Gradio's own clients understand."""
    await _say(send, status, {"detail": sentence})


async def _say(
    send: Send, status: int, told: dict[str, str], more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    body = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _forward(send: Send, scope: Message) -> None:
    """From the bare prefix to the page, which looks for its parts beside its own address."""
    query = scope.get("query_string", b"")
    there = scope["path"].split("/")[-1].encode() + b"/" + (b"?" + query if query else b"")
    await _say(send, 307, {"detail": "The page is one slash further."}, [(b"location", there)])


class Answers(OrderedDict[str, Any]):
    """Gradio's dict of answers on their way, by tab; whose answers were longest neither written nor read goes first.

    Gradio's own forgets the tab that came first, even in the middle of its run.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __getitem__(self, tab: str) -> Any:
        found = super().__getitem__(tab)
        self.move_to_end(tab)
        return found

    def __setitem__(self, tab: str, answers: Any) -> None:
        if tab not in self and len(self) >= self.most:
            del self[next(iter(self))]
        super().__setitem__(tab, answers)
        self.move_to_end(tab)


def bound_messages(page: Any) -> None:
    """Answers that nobody fetches are kept for the TABS tabs last heard of.

    Gradio keeps those of 2000, and the frames of one run are a megabyte: whoever starts runs and never reads
    them could fill the memory. This is the inside of Gradio, which promises nothing about it: where it looks different
    one day, its own limit holds and the page works all the same.
    """
    queue = getattr(page, "_queue", None)
    kept = getattr(queue, "pending_messages_per_session", None)
    if queue is None or not isinstance(kept, MutableMapping) or len(kept):
        log.warning("This Gradio keeps unread answers in a way that is not known here: its own limit holds.")
        return
    queue.pending_messages_per_session = Answers(TABS)


def launch_arguments(embed: Iterable[str] = (), largest: int = MAX_BODY) -> dict[str, Any]:
    """What `Blocks.launch` must be told so that every request passes here, and threads suffice for the line."""
    from starlette.middleware import Middleware

    guard = Middleware(Guard, embed=tuple(embed), largest=largest)
    return {"app_kwargs": {"middleware": [guard, Middleware(Light)]}, "max_threads": 80}
