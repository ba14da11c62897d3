"""Where the page is served, and for whom: host, port, prefix, frames. What cannot be is said in one sentence.

Nothing here imports Gradio: all of it is looked at before the page is built.
"""

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

HOST, PORT, PORTS = "127.0.0.1", 7860, 100
NO_PROXY = ("no_proxy", "NO_PROXY")
# scheme://host with an optional port; a leading *. stands for every subdomain, as in a content security policy
ORIGIN = re.compile(r"https?://(\*\.)?([A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")


# ---- proxies ----------------------------------------------------------------------------------------------------


def ask_no_proxy() -> dict[str, str | None]:
    """From here on this program passes every proxy by; returns what the environment had said.

    The program asks nobody but itself, once, whether its page answers. Proxies come in many spellings, lists of
    exceptions with ranges that not every library reads, and SOCKS needs a package of its own even where it is not
    used: the one word that all libraries know is "*".
    """
    before = {name: os.environ.get(name) for name in NO_PROXY}
    os.environ.update(dict.fromkeys(NO_PROXY, "*"))
    return before


@contextmanager
def proxies_as(before: dict[str, str | None]) -> Iterator[None]:
    """The environment as the visitor had it, for a browser that is started from here and goes on to other pages."""
    ours = {name: os.environ.get(name) for name in before}
    try:
        _set(before)
        yield
    finally:
        _set(ours)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


# ---- host and port ------------------------------------------------------------------------------------------------


def bare(host: str) -> str:
    """A host as sockets take it: an IPv6 address without the brackets that it has in URLs."""
    host = host.strip() or HOST
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def bracketed(host: str) -> str:
    """A host as URLs and Gradio take it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def first_port(text: str | None) -> int:
    """The port to begin with, as the environment names it; ValueError when it is none."""
    if not text or not text.strip():
        return PORT
    if not text.strip().isascii() or not text.strip().isdigit() or not 1 <= int(text) <= 65535:
        raise ValueError(f"GRADIO_SERVER_PORT must be a port from 1 to 65535, not {text!r}.")
    return int(text)


def open_port(host: str, port: int | None, first: int) -> int:
    """`port`, or without one the first that is free from `first` on; ValueError with one sentence if there is none.

    Gradio finds out by starting a server and waiting for seconds, for every port in turn, and says of every reason
    that the port is taken.
    """
    if port is not None:
        _try(host, port)
        return port
    for candidate in range(first, min(first + PORTS, 65536)):
        try:
            _try(host, candidate)
            _try(HOST, candidate)  # Gradio looks for the port here, whatever the host
        except Taken:
            continue
        return candidate
    raise ValueError(
        f"{_where(host)}: the ports {first} to {first + PORTS - 1} are taken, choose another --port."
    )


class Taken(ValueError):
    """The port is in use: another one may be free."""


def _where(host: str, port: int | None = None) -> str:
    return f"The page cannot be served on {bracketed(host)}{'' if port is None else f':{port}'}"


def _try(host: str, port: int) -> None:
    """Binds every address of the host for a moment; ValueError with one sentence when none can be served."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, ValueError):
        found = []
    bound, refused = 0, 0
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
                bound += 1
        except OSError as error:
            refused = error.errno or refused
            if error.errno == errno.EADDRINUSE:
                raise Taken(
                    f"{_where(host, port)}: another program has this port, choose another --port."
                ) from None
    if bound:
        return
    if refused in (errno.EACCES, errno.EPERM):
        raise ValueError(
            f"{_where(host, port)}: ports below 1024 need rights that you lack here, choose another --port."
        )
    raise ValueError(
        f"{_where(host)}: it is no address of this computer, choose another --host, for example {HOST} or 0.0.0.0."
    )


# ---- prefix and frames -------------------------------------------------------------------------------------------


def prefix(root: str | None) -> str:
    """Where a reverse proxy shows the page, as Gradio takes it: "", "/path" or a whole URL, no slash at its end."""
    root = (root or "").strip().rstrip("/")
    if not root or root.startswith(("http://", "https://")):
        return root
    return "/" + root.lstrip("/")


def without_prefix(path: str, root: str) -> str | None:
    """The path of a request as the page knows it, whether a proxy kept the prefix or took it off.

    None for the bare prefix: its page is one slash further, or what it asks for would be looked for beside it.
    """
    before = urlsplit(root).path.rstrip("/") if "://" in root else root.rstrip("/")
    if not before:
        return path
    if path == before:
        return None
    return path[len(before) :] if path.startswith(before + "/") else path


def origin(text: str) -> str:
    """An origin that may show the page in a frame, as a content security policy takes it; ValueError otherwise."""
    text = text.strip().rstrip("/")
    if not ORIGIN.fullmatch(text):
        raise ValueError(
            f"an origin is like https://school.example or http://10.0.0.5:8000, without a path; not {text!r}"
        )
    return text.lower()
