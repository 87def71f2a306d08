"""A hub on this machine: as much of its HTTP API as an upload of small files needs."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_fake"


class FakeHub(ThreadingHTTPServer):
    """Keeps what is uploaded; `status` instead of 200 refuses everything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.repos: dict[str, bool] = {}  # id -> whether it is private
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead huggingface_hub here."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN}


class Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_POST(self) -> None:
        hub, length = self.server, int(self.headers.get("Content-Length", 0))
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = self.read_chunks() if chunked else self.rfile.read(length)
        hub.tokens.add(self.headers.get("Authorization"))
        if hub.status != 200:
            self.answer(hub.status, {"error": "refused by the test"})
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked.get('organization')}/{asked['name']}"
            is_new = repo not in hub.repos
            private = asked.get("private") or asked.get("visibility") == "private"
            hub.repos.setdefault(repo, bool(private))
            self.answer(200 if is_new else 409, {"url": f"{hub.url}/{repo}", "id": repo})
        elif self.path == "/api/validate-yaml":
            self.answer(200, {"warnings": [], "errors": []})
        elif self.path.endswith("/preupload/main"):
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            self.answer(200, {"files": files})
        elif self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    hub.files[line["value"]["path"]] = content
                elif line["key"] == "deletedFile":
                    del hub.files[line["value"]["path"]]
            where = f"{hub.url}{self.path.removeprefix('/api/models')}"
            self.answer(200, {"commitUrl": where, "commitOid": "0" * 40, "success": True})
        else:
            self.answer(404, {"error": self.path})

    def do_GET(self) -> None:
        hub = self.server
        if hub.status == 200 and "/tree/main" in self.path:
            files = [{"type": "file", "path": path, "size": 0, "oid": "0"} for path in hub.files]
            self.answer(200, files)
        else:
            self.answer(404 if hub.status == 200 else hub.status, {"error": self.path})

    def read_chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        return content

    def answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """A hub that answers while the context lasts."""
    with FakeHub() as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
