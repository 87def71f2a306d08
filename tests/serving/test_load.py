"""More than the server can do at once, clients that leave or dawdle, and a reader that fails."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from support.runs import wait_until
from support.serving import PAIR, Site, SlowReader, found_all, read_all, request_bytes, serving

from qa.engine.errors import UserError
from qa.serving.reading import Asked, Found

pytestmark = pytest.mark.usefixtures("one_thread")


def test_requests_that_wait_are_answered_together() -> None:
    reader = SlowReader()
    with serving(reader) as site, ThreadPoolExecutor(8) as clients:
        first = clients.submit(site.ask, {"question": "0", "context": "zero"})
        wait_until(lambda: reader.batches)
        sent = [{"question": str(n), "context": f"c{n}"} for n in range(1, 6)]
        others = [clients.submit(site.ask, each) for each in sent]
        wait_until(lambda: site.service.questions.num_waiting() == 5)
        reader.go.set()
        assert first.result()[1]["answers"][0]["text"] == "zero"
        assert [f.result()[1]["answers"][0]["text"] for f in others] == [s["context"] for s in sent]
    assert [sorted(batch) for batch in reader.batches] == [["0"], ["1", "2", "3", "4", "5"]]


def test_a_full_queue_is_a_503_that_says_when_to_come_again() -> None:
    reader = SlowReader()
    with serving(reader, max_queue=2) as site, ThreadPoolExecutor(4) as clients:
        replies = [clients.submit(site.ask, PAIR)]
        wait_until(lambda: reader.batches)
        replies += [clients.submit(site.ask, PAIR) for _ in range(2)]
        wait_until(lambda: site.service.questions.num_waiting() == 2)
        code, headers, content = site.send(
            "POST", "/answer", json.dumps(PAIR).encode(), content_type="application/json"
        )
        assert code == 503
        assert 1 <= int(headers["retry-after"]) <= 60
        assert json.loads(content)["error"].startswith("2 questions wait already; try again in ")
        reader.go.set()
        assert [reply.result()[0] for reply in replies] == [200, 200, 200]


def test_at_the_deadline_there_is_an_answer_and_the_model_is_spared() -> None:
    """Of three, one is being read when its time is over, and two wait, which are never read."""
    reader = SlowReader()
    with serving(reader, timeout=0.3) as site, ThreadPoolExecutor(3) as clients:
        started = time.monotonic()
        replies = [clients.submit(site.ask, PAIR)]
        wait_until(lambda: reader.batches)
        replies += [clients.submit(site.ask, {**PAIR, "question": "late"}) for _ in range(2)]
        sentence = "not answered within 0.3 s; try again later"
        assert [reply.result() for reply in replies] == [(504, {"error": sentence})] * 3
        assert 0.3 <= time.monotonic() - started < 10
        reader.go.set()
        assert site.ask({**PAIR, "question": "next"})[0] == 200
    assert reader.batches == [[PAIR["question"]], ["next"]]


def test_whoever_leaves_is_not_read_for() -> None:
    """Behind a whole request, and in the middle of one."""
    reader = SlowReader()
    with serving(reader) as site, ThreadPoolExecutor(1) as clients:
        first = clients.submit(site.ask, PAIR)
        wait_until(lambda: reader.batches)
        whole = site.begin(request_bytes({**PAIR, "question": "gone"}))
        wait_until(lambda: site.service.questions.num_waiting() == 1)
        whole.close()
        site.begin(request_bytes({**PAIR, "question": "half"}, missing=5)).close()
        counts = site.service.requests.counts
        wait_until(lambda: counts["/answer", 499] == 2)
        assert site.service.questions.num_waiting() == 0
        reader.go.set()
        assert first.result()[0] == 200
        assert site.ask({**PAIR, "question": "next"})[0] == 200
    assert reader.batches == [[PAIR["question"]], ["next"]]


def test_a_body_that_does_not_come_is_a_408() -> None:
    with (
        serving(SlowReader(), timeout=0.2) as site,
        site.begin(request_bytes(PAIR, missing=5)) as connection,
    ):
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_does_not_come_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the first request and of the second; nor is one whose answer takes longer cut off."""
    monkeypatch.setattr("qa.serving.run.HEAD_SECONDS", 0.3)
    reader = SlowReader()
    with serving(reader) as site, ThreadPoolExecutor(1) as clients:
        slow = clients.submit(site.ask, PAIR)
        for beginning in (b"", b"POST /ans", b"GET /health HTTP/1.1\r\nHost: here\r\n\r\nGET /he"):
            with site.begin(beginning) as connection:
                assert read_all(connection).count(b"HTTP/1.1 200") == beginning.count(b"\r\n\r\n")
        reader.go.set()
        assert slow.result()[0] == 200


def test_what_a_client_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses that cannot be sent yet, and the rest of one; but not of one that reads late."""
    for name, seconds in (("HEAD_SECONDS", 0.3), ("IDLE_SECONDS", 0.2), ("DRAIN_SECONDS", 1.0)):
        monkeypatch.setattr(f"qa.serving.run.{name}", seconds)
    reader = SlowReader()
    reader.go.set()
    long = request_bytes({**PAIR, "context": "a" * 8_000_000})
    with serving(reader, timeout=2, max_context_length=8_000_000) as site, ExitStack() as stack:
        state = site.server.server_state
        sent = [b"GET /page.js HTTP/1.1\r\nHost: here\r\n\r\n" * 400, long, long]
        *_, late = [stack.enter_context(narrow(site.port, each)) for each in sent]
        wait_until(lambda: site.service.requests.counts["/answer", 200] == 2)
        time.sleep(0.6)
        assert len(state.connections) == 3
        assert read_all(late).count(b"a" * 8_000_000) == 1
        wait_until(lambda: not state.connections and not state.tasks)


def narrow(port: int, content: bytes) -> socket.socket:
    """A connection that takes little of a response before it is read, behind a request."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", port))
    connection.sendall(content)
    return connection


def test_a_reader_that_fails_is_a_500_and_in_the_end_unhealthy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails_at_times(batch: list[Asked], check: Callable[[], None]) -> list[Found]:
        if batch[0].example.question == "bad":
            raise RuntimeError("broken pipe inside")
        return [found_all(asked.example.context) for asked in batch]

    with serving(fails_at_times) as site:
        for expected in (200, 200, 503):
            assert site.ask({**PAIR, "question": "bad"}) == (
                500,
                {"error": "the server failed; its stderr says why"},
            )
            assert site.send("GET", "/health")[0] == expected
        assert "broken pipe inside" in caplog.text
        assert site.ask(PAIR)[0] == 200
        assert site.send("GET", "/health")[0] == 200


def test_what_the_reader_finds_wrong_is_no_mistake_of_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And nothing of this machine is told outside, such as where a model should lie."""

    def misses(batch: list[Asked], check: Callable[[], None]) -> list[Found]:
        raise UserError("/home/me/encoder: no such model directory")

    with serving(misses) as site:
        assert site.ask(PAIR) == (500, {"error": "the server failed; its stderr says why"})
        wait_until(lambda: "/home/me/encoder" in caplog.text)


def test_no_response_waits_for_the_client_to_acknowledge_its_head(tiny_site: Site) -> None:
    """Which it does 40 ms later."""
    with tiny_site.begin(b"GET /hea"):
        wait_until(lambda: tiny_site.server.server_state.connections)
        for connection in tiny_site.server.server_state.connections:
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
