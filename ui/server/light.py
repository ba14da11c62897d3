"""The page itself goes packed over the wire: it carries all its scripts, and packs to a quarter.

Gradio packs only its own files. Nothing else is touched here: a stream of steps must never wait in a packer's buffer.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.middleware.gzip import GZipMiddleware

LEVEL = 6  # 15 ms for the page; more brings hardly a kilobyte
LEAST = 1024  # bytes worth packing

Message = MutableMapping[str, Any]


class Light:
    """ASGI middleware: what is asked for as the page is packed for browsers that can unpack it."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.packed = GZipMiddleware(app, minimum_size=LEAST, compresslevel=LEVEL)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Serve one request."""
        page = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and _is_page(scope)
        await (self.packed if page else self.app)(scope, receive, send)


def _is_page(scope: Message) -> bool:
    """The page's own address, under whatever prefix a proxy puts before it."""
    prefix = scope.get("root_path", "").rstrip("/")
    return scope["path"].removeprefix(prefix) in ("", "/")
