"""The page goes packed, and nothing else: a packer holds back what streams."""

import asyncio
import gzip
from concurrent.futures import ThreadPoolExecutor

import pytest

from ui.server.light import Light

PAGE = b"<script>const words = 'carved, token by token';</script>\n" * 400


async def app(scope, receive, send):
    """Answers with the page in two parts, whatever was asked."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": PAGE[:5000], "more_body": True})
    await send({"type": "http.response.body", "body": PAGE[5000:]})


def asked(path, accepts="gzip, deflate", method="GET", root=""):
    """(headers, body) of an answer."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "root_path": root}
    scope["headers"] = [(b"accept-encoding", accepts.encode())]
    # in a thread of its own, because the browser tests keep a loop running in this one
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(Light(app)(scope, None, send))).result()
    headers = dict(sent[0]["headers"])
    return headers, b"".join(message.get("body", b"") for message in sent[1:]), len(sent)


@pytest.mark.parametrize(
    ("path", "root"), [("/", ""), ("/chisel/", "/chisel"), ("/", "/chisel"), ("/chisel", "/chisel/")]
)
def test_the_page_is_packed_for_who_can_unpack_it(path, root):
    headers, body, _ = asked(path, root=root)
    assert headers[b"content-encoding"] == b"gzip" and b"Accept-Encoding" in headers[b"vary"]
    assert gzip.decompress(body) == PAGE and len(body) < len(PAGE) / 4
    headers, body, _ = asked(path, accepts="identity", root=root)
    assert b"content-encoding" not in headers and body == PAGE


@pytest.mark.parametrize("path", ["/gradio_api/queue/data", "/assets/index.js", "/config", "//", "/chisel/"])
def test_nothing_else_is_held_back(path):
    headers, body, parts = asked(path)
    assert b"content-encoding" not in headers and body == PAGE and parts == 3
    assert b"content-encoding" not in asked("/", method="POST")[0]
