"""Where the page starts and for whom: proxies, IPv6, ports, prefixes, frames, programs; and what ends in one sentence.

Most of it in processes of their own with weights of a few kilobytes, as people start it.
"""

import argparse
import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny_model import build_tiny

from mdm_core.pipeline import Pipeline
from ui import launch
from ui.record.browser import serving
from ui.server import address

ROOT = Path(__file__).resolve().parents[3]
DEAD = "http://127.0.0.1:9"
PROXY_NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
INSIDE = ("Traceback", "terminate called", "Aborted", "core dumped", 'File "', "site-packages")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder of a few kilobytes."""
    path = tmp_path_factory.mktemp("tiny")
    config, codec, model, text = build_tiny()
    Pipeline.save(path, codec, model, text, config)
    return str(path)


def environment(**more):
    """This process's own, without what could tell the app where to start."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith("GRADIO_") and "proxy" not in k.lower()}
    return {**ours, **more}


def free_port(host="127.0.0.1"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


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
    pipeline, went_on = Future(), []
    pipeline.thread = threading.Thread(target=lambda: (threading.Event().wait(0.3), went_on.append(True)))
    pipeline.thread.start()
    assert launch.over(pipeline, 2) == 2 and went_on == [True]


# ---- as it is served ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(host, port, folder, **variables):
    """The app on a host of its own, once it says where to open it; yields that address."""
    process = subprocess.Popen(
        [sys.executable, "app.py", "--no-open", "--model", folder, "--host", host, "--port", str(port)],
        cwd=ROOT,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith("Open "):
                break
        else:
            pytest.fail(f"the app ended: {''.join(said)}")
        yield said[-1].split()[1]
    finally:
        process.terminate()
        process.communicate(timeout=20)


def has_ipv6():
    try:
        free_port("::1")
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
@pytest.mark.parametrize(
    ("host", "proxies"),
    [
        ("[::1]", {"ALL_PROXY": "socks5://127.0.0.1:9", "all_proxy": "socks5h://127.0.0.1:9"}),
        ("::", {"http_proxy": DEAD, "HTTPS_PROXY": DEAD, "no_proxy": "localhost,127.0.0.0/8,::1"}),
    ],
)
def test_it_starts_on_ipv6_and_behind_proxies(host, proxies, folder):
    port = free_port("::1")
    with started(host, port, folder, **proxies) as told:
        assert told == f"http://[::1]:{port}/"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(told, timeout=20) as answer:
            assert answer.status == 200 and b"Chisel" in answer.read()


class Proxy(BaseHTTPRequestHandler):
    """A reverse proxy that shows the page under /chisel, and keeps the prefix or takes it off."""

    protocol_version = "HTTP/1.1"
    keeps, port = True, 0

    def pass_on(self):
        if not self.path.startswith("/chisel"):
            self.send_error(404)
            return
        path = self.path if self.keeps else self.path.removeprefix("/chisel") or "/"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        there = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {
            k: v for k, v in self.headers.items() if k.lower() not in ("connection", "accept-encoding")
        }
        there.request(self.command, path, body, headers)
        answer = there.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            while part := answer.read1(65536):  # an event's frames pass as they come
                self.wfile.write(part)
                self.wfile.flush()
        there.close()
        self.close_connection = True

    do_GET = do_POST = pass_on

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def prefixed(folder):
    """The app as a proxy's prefix and one school's site are told to it."""
    with serving(
        "--model",
        folder,
        "--embed",
        "https://School.example/",
        "--embed",
        "http://10.0.0.5:8000",
        environment=environment(GRADIO_ROOT_PATH="chisel/"),
    ) as app:
        yield app


@pytest.fixture(params=["kept", "stripped"])
def behind(request, prefixed):
    """The page's address behind a proxy that keeps, or strips, the prefix."""
    handler = type(
        "Ours", (Proxy,), {"keeps": request.param == "kept", "port": int(prefixed.address.split(":")[-1])}
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/chisel/"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_the_bare_prefix_leads_to_the_page(prefixed):
    """What the page asks for is looked for beside its own address, so that address ends in a slash."""
    for query in ("", "?class=1"):
        with urllib.request.urlopen(f"{prefixed.address}/chisel{query}", timeout=20) as answer:
            assert answer.url == f"{prefixed.address}/chisel/{query}" and answer.status == 200


def client_of(url):
    from gradio_client import Client

    return Client(url, verbose=False)


def test_the_page_works_behind_a_proxy_with_a_prefix(behind):
    with urllib.request.urlopen(behind, timeout=20) as answer:
        assert answer.status == 200 and b"Chisel" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{behind}monitoring", timeout=20)
    job = client_of(behind).submit("a blue car", api_name="/generate")
    assert job.result(timeout=60)[0]["state"] == "done"
    assert len(job.outputs()) > 3  # streamed, step by step


def test_a_program_names_only_the_prompt_and_all_its_jobs_come_back_whole(prefixed):
    client = client_of(prefixed.address)
    jobs = [client.submit(f"a cat {i}", i, api_name="/generate") for i in range(3)]
    told = [job.result(timeout=60)[0] for job in jobs]
    assert [m["state"] for m in told] == ["done"] * 3 and [m["seed"] for m in told] == [0, 1, 2]
    for m in told:
        assert [f["k"] for f in m["frames"]] == list(range(len(m["frames"])))
    assert client.predict("a blue car", api_name="/generate")[0]["prompt"] == "a blue car"


def policy_of(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        said = answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] is None
    (rule,) = [part.split() for part in said.split(";") if part.split()[0] == "frame-ancestors"]
    return rule[1:]


def test_the_named_sites_may_frame_the_page_and_no_others(prefixed):
    from ui.server.guard import headers

    spaces = ["'self'", "https://huggingface.co", "https://*.huggingface.co", "https://*.hf.space"]
    assert policy_of(prefixed.address) == [*spaces, "https://school.example", "http://10.0.0.5:8000"]
    assert headers()["content-security-policy"].endswith("frame-ancestors " + " ".join(spaces))


@pytest.mark.parametrize(
    "text",
    [
        "school.example",
        "https://school.example/page",
        "*",
        "'self'",
        "https://a.b; script-src *",
        "javascript:x",
    ]
    + ["https://a b", "https://", "https://a,https://b", "ftp://a.b", "https://a.b:123456", "https://a\nx"],
)
def test_what_is_no_origin_is_not_put_into_the_policy(text):
    with pytest.raises(ValueError, match="an origin is like"):
        address.origin(text)


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
