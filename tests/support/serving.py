"""A server in a thread of the test, and clients that speak HTTP to it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from qa.answering.nbest import Answer
from qa.serving.app import Service, make_app
from qa.serving.batcher import Batcher
from qa.serving.options import BATCH_CHARACTERS, Collection, ServingOptions
from qa.serving.reading import Asked, Found
from qa.serving.run import Server, bind
from support.runs import wait_until

PAIR = {"question": "언제?", "context": "강나루는 1921년에 태어났다."}


@dataclass
class Site:
    """A server that answers at `port` of this machine."""

    port: int
    service: Service
    server: Server

    def send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request and return status, headers and body of the response."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(
                method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}
            )
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return response.status, names, response.read()

    def ask(self, sent: Any) -> tuple[int, Any]:
        """Post JSON, or bytes as they are, to /answer and return status and JSON."""
        body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        code, _, content = self.send("POST", "/answer", body, content_type="application/json")
        return code, json.loads(content)

    def begin(self, content: bytes) -> socket.socket:
        """Send bytes and return the open connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.sendall(content)
        return connection


def request_bytes(sent: Any, missing: int = 0) -> bytes:
    """A request to /answer as bytes; `missing`: bytes that its Content-Length counts too many."""
    body = json.dumps(sent).encode()
    head = (
        "POST /answer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body) + missing}\r\n\r\n"
    )
    return head.encode() + body


def read_all(connection: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@contextmanager
def serving(
    work: Callable[[list[Asked], Callable[[], None]], list[Found]],
    max_top_k: int = 5,
    collection: Collection | None = None,
    hosts: frozenset[str] | None = None,
    **limits: Any,
) -> Iterator[Site]:
    """Answer with `work`, within `ServingOptions(**limits)`."""
    options = ServingOptions(**limits)
    questions = Batcher(work, options.max_queue, options.max_batch, BATCH_CHARACTERS)
    service = Service(questions, options, "tiny", max_top_k, collection)
    with bind("127.0.0.1", 0) as listener:
        server = Server(make_app(service, hosts), options.timeout)
        thread = threading.Thread(target=server.run, args=([listener],))
        site = Site(listener.getsockname()[1], service, server)
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield site
        finally:
            server.should_exit = True
            thread.join(timeout=60)
            questions.close()
            assert not thread.is_alive()


@dataclass
class SlowReader:
    """Answers the whole context, once `go` is set; notes what it was given."""

    go: threading.Event = field(default_factory=threading.Event)
    batches: list[list[str]] = field(default_factory=list)  # the questions of each

    def __call__(self, batch: Sequence[Asked], check: Callable[[], None]) -> list[Found]:
        """Answer a batch."""
        self.batches.append([asked.example.question for asked in batch])
        assert self.go.wait(60)
        return [found_all(asked.example.context) for asked in batch]


def found_all(context: str) -> Found:
    """The whole context as the answer."""
    return Found([Answer(context, 0, len(context), 0.0, 1.0)], question_was_cut=False)
