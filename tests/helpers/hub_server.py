"""A hub on this machine that has one model: as much of its interface as its own client asks of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def hub(name: str, folder: Path, licence: str = "openrail++") -> Iterator[tuple[str, list[str]]]:
    """Serves `folder` as the model `name`; gives its address, and the list of what it is asked for."""
    asked: list[str] = []
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    config = json.loads(files.get("config.json", b"{}"))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asked.append(f"{self.command} {path}")
            if path in (f"/api/models/{name}", f"/api/models/{name}/revision/{COMMIT}"):
                told = {
                    "id": name,
                    "modelId": name,
                    "sha": COMMIT,
                    "private": False,
                    "tags": [],
                    "siblings": [{"rfilename": f, "size": len(data)} for f, data in files.items()],
                    "cardData": {"license": licence},
                    "config": {k: config[k] for k in ("architectures", "model_type") if k in config},
                }
                self.answer(json.dumps(told).encode(), "application/json")
                return
            if path == f"/api/models/{name}/tree/{COMMIT}":
                tree = [
                    {"type": "file", "path": f, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for f, data in files.items()
                ]
                self.answer(json.dumps(tree).encode(), "application/json")
                return
            start = f"/{name}/resolve/{COMMIT}/"
            data = files.get(path.removeprefix(start)) if path.startswith(start) else None
            if data is None:
                self.answer(b"{}", "application/json", 404)
            else:
                self.answer(data, "application/octet-stream")

        def answer(self, data: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if status == 200:
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
            else:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
