"""The page as it is served: IPv6, proxies in front of it, prefixes, frames, programs."""

import contextlib
import http.client
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from address_hands import DEAD, ROOT, environment, free_port

from ui.record.browser import serving
from ui.server import address


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
        process.communicate(timeout=120)


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
        with opener.open(told, timeout=120) as answer:
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
        there = http.client.HTTPConnection("127.0.0.1", self.port, timeout=240)
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
        with urllib.request.urlopen(f"{prefixed.address}/chisel{query}", timeout=120) as answer:
            assert answer.url == f"{prefixed.address}/chisel/{query}" and answer.status == 200


def client_of(url):
    from gradio_client import Client

    return Client(url, verbose=False)


def test_the_page_works_behind_a_proxy_with_a_prefix(behind):
    with urllib.request.urlopen(behind, timeout=120) as answer:
        assert answer.status == 200 and b"Chisel" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{behind}monitoring", timeout=120)
    job = client_of(behind).submit("a blue car", api_name="/generate")
    assert job.result(timeout=240)[0]["state"] == "done"
    assert len(job.outputs()) > 3  # streamed, step by step


def test_a_program_names_only_the_prompt_and_all_its_jobs_come_back_whole(prefixed):
    client = client_of(prefixed.address)
    jobs = [client.submit(f"a cat {i}", i, api_name="/generate") for i in range(3)]
    told = [job.result(timeout=240)[0] for job in jobs]
    assert [m["state"] for m in told] == ["done"] * 3 and [m["seed"] for m in told] == [0, 1, 2]
    for m in told:
        assert [f["k"] for f in m["frames"]] == list(range(len(m["frames"])))
    assert client.predict("a blue car", api_name="/generate")[0]["prompt"] == "a blue car"


def policy_of(url):
    with urllib.request.urlopen(url, timeout=120) as answer:
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
