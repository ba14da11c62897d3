"""Where the page starts and for whom: proxies, IPv6, ports, prefixes, frames, programs; and what ends in one sentence.

Most of it in processes of their own with weights of a few kilobytes, as people start it.
"""

import argparse
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
from address_hands import DEAD, PROXY_NAMES, ROOT, environment, free_port

from ui import launch
from ui.server import address

INSIDE = ("Traceback", "terminate called", "Aborted", "core dumped", 'File "', "site-packages")


def ends(*arguments, **variables):
    """(status, what it said last) of an app that cannot start: it says one sentence and shows nothing of its inside."""
    told = subprocess.run(
        [sys.executable, "app.py", "--no-open", *arguments],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert told.returncode == 2, (told.returncode, told.stderr)
    assert not [word for word in INSIDE if word in told.stdout + told.stderr], told.stderr
    return told.stderr.strip().splitlines()[-1]


# ---- proxies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROXY_NAMES)
@pytest.mark.parametrize("exceptions", [None, "localhost,127.0.0.0/8,::1", "example.com"])
def test_every_spelling_of_a_proxy_is_passed_by(monkeypatch, name, exceptions):
    """httpx, with which Gradio looks at its page, builds no proxy: not even one that needs a package of its own."""
    import httpx

    for other in (*PROXY_NAMES, *address.NO_PROXY):
        monkeypatch.delenv(other, raising=False)
    for spelling in address.NO_PROXY:
        if exceptions:
            monkeypatch.setenv(spelling, exceptions)
    for proxy in (DEAD, "socks5://127.0.0.1:9", "127.0.0.1:9"):
        monkeypatch.setenv(name, proxy)
        before = address.ask_no_proxy()
        assert set(before.values()) == {exceptions}
        with httpx.Client() as client:
            assert not any(client._mounts.values())
        assert urllib.request.proxy_bypass("127.0.0.1") and urllib.request.proxy_bypass("school.example")
        with address.proxies_as(before):  # a browser started from here sees what the visitor had set
            assert [os.environ.get(spelling) for spelling in address.NO_PROXY] == [exceptions, exceptions]
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "*"
        for spelling, value in before.items():
            monkeypatch.delenv(spelling) if value is None else monkeypatch.setenv(spelling, value)


# ---- host and port ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "socket_host", "url_host"),
    [
        ("::1", "::1", "[::1]"),
        ("[::1]", "::1", "[::1]"),
        ("::", "::", "[::]"),
        (" 0.0.0.0 ", "0.0.0.0", "0.0.0.0"),
    ]
    + [("", "127.0.0.1", "127.0.0.1"), ("localhost",) * 3, ("[fe80::1%lo]", "fe80::1%lo", "[fe80::1%lo]")],
)
def test_a_host_is_written_for_sockets_and_for_addresses(given, socket_host, url_host):
    assert address.bare(given) == socket_host and address.bracketed(address.bare(given)) == url_host


def test_a_port_that_is_taken_is_said_or_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"127.0.0.1:{port}: another program has this port"):
            address.open_port("127.0.0.1", port, 1)
        assert address.open_port("127.0.0.1", None, port) != port
        assert address.open_port("0.0.0.0", None, port) != port


def test_when_all_ports_are_taken_that_is_said(monkeypatch):
    def taken(host, port):
        raise address.Taken("taken")

    monkeypatch.setattr(address, "_try", taken)
    with pytest.raises(
        ValueError, match="the ports 65530 to 65629 are taken|are taken, choose another --port"
    ):
        address.open_port("127.0.0.1", None, 65530)


def test_a_port_that_needs_rights_is_told_from_one_that_is_taken(monkeypatch):
    """As the system would refuse somebody who is not root, whoever runs this test."""

    class Probe(socket.socket):
        def bind(self, where):
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Probe)
    with pytest.raises(ValueError, match="127.0.0.1:80: ports below 1024 need rights that you lack here"):
        address.open_port("127.0.0.1", 80, 1)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "no.such.host.invalid", "2001:db8::1", "a" * 300, "x y", "\x00"]
)
def test_a_host_that_is_not_ours_is_said(host):
    with pytest.raises(ValueError, match="it is no address of this computer, choose another --host"):
        address.open_port(host, 7860, 7860)


@pytest.mark.parametrize("text", ["abc", "0", "-1", "65536", "7860.0", "٧٨٦٠", "7860 7861", "0x10"])
def test_a_port_of_the_environment_that_is_none_is_said(text):
    with pytest.raises(ValueError, match="GRADIO_SERVER_PORT must be a port from 1 to 65535"):
        address.first_port(text)


def test_a_port_of_the_environment():
    assert [address.first_port(t) for t in (None, "", " ", " 8000 ")] == [7860, 7860, 7860, 8000]


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        (["--host", "192.0.2.1"], {}, "no address of this computer"),
        ([], {"GRADIO_SERVER_NAME": "no.such.host.invalid"}, "no address of this computer"),
        ([], {"GRADIO_SERVER_PORT": "abc"}, "GRADIO_SERVER_PORT must be a port"),
        (["--port", "70000"], {}, "--port must be from 1 to 65535"),
        (["--threads", "0"], {}, "--threads must be from 1 to 1024"),
        (["--embed", "school.example/page"], {}, "an origin is like https://school.example"),
    ],
)
def test_what_is_wrong_from_the_start_is_said_before_anything_is_loaded(arguments, variables, sentence):
    assert sentence in ends(*arguments, **variables)


def test_a_variable_of_gradios_that_it_cannot_read_ends_in_a_sentence(folder):
    said = ends("--model", folder, GRADIO_NUM_PORTS="x")
    assert said.startswith("The page cannot be ") and "GRADIO_ variables" in said


def test_a_model_that_cannot_be_loaded_ends_in_a_sentence(tmp_path):
    assert ends("--model", str(tmp_path)).startswith("The model cannot be loaded: ")


@pytest.mark.parametrize("broken", ["build", "model", "launch"])
def test_whatever_fails_is_one_sentence_and_no_traceback(broken, monkeypatch, capfd):
    """Errors of no kind that anyone foresaw, of many lines or of none."""
    from ui import page

    class Blocks:
        def launch(self, **more):
            raise Exception("Couldn't start the app.\nPlease file an issue\n  at line 3")

        def close(self, **more):
            raise RuntimeError("closing fails too")

    def build(*given):
        if broken == "build":
            raise KeyError()
        return Blocks()

    def load(*given):
        if broken == "model":
            raise MemoryError("no room\nfor the weights")
        return argparse.Namespace(device="cpu", grid=(4, 4))

    monkeypatch.setattr(page, "build", build)
    monkeypatch.setattr(launch, "load", load)
    monkeypatch.setattr(launch, "warm_up", lambda pipe: None)
    monkeypatch.setattr(launch, "backend_line", lambda pipe: "Chisel")
    for name in ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_ROOT_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert launch.main(["--no-open", "--port", str(free_port())]) == 2
    said = capfd.readouterr().err.strip()
    assert said.startswith(
        {
            "build": "The page cannot be built: KeyError. Choose",
            "model": "The model cannot be loaded: no room.",
            "launch": "The page cannot be served on 127.0.0.1:",
        }[broken]
    )
    assert len(said.splitlines()) == 1 and "Traceback" not in said


def test_a_program_that_ends_waits_for_its_loading_thread():
    """Cut off inside torch it would abort."""
    pipeline, went_on = launch.Loading(), []
    pipeline.thread = threading.Thread(target=lambda: (threading.Event().wait(0.3), went_on.append(True)))
    pipeline.thread.start()
    assert launch.over(pipeline, 2) == 2 and went_on == [True]


# ---- the prefix ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "told"),
    [(None, ""), ("", ""), ("/", ""), ("chisel", "/chisel"), ("/chisel/", "/chisel"), ("/a/b", "/a/b")]
    + [("https://school.example/chisel/", "https://school.example/chisel")],
)
def test_a_prefix_is_taken_as_people_write_it(root, told):
    assert address.prefix(root) == told


@pytest.mark.parametrize(
    ("path", "root", "inside"),
    [
        ("/chisel/config", "/chisel", "/config"),
        ("/config", "/chisel", "/config"),
        ("/chisel/", "/chisel", "/"),
        ("/chisel", "/chisel", None),
        ("/chiselled", "/chisel", "/chiselled"),
        ("/a/b/config", "https://school.example/a/b", "/config"),
        ("/config", "", "/config"),
        ("/config", "https://school.example", "/config"),
    ],
)
def test_a_path_is_the_same_whether_the_prefix_is_kept_or_not(path, root, inside):
    assert address.without_prefix(path, root) == inside
