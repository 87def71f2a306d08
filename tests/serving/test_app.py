"""The API over real HTTP: its answers, its limits, and clients that leave or dawdle."""

from __future__ import annotations

import json
import re
import socket
import time
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.articles import article_examples
from support.runs import ROOT, wait_until
from support.serving import (
    PAIR,
    Site,
    SlowReader,
    found_all,
    read_all,
    request_bytes,
    serving,
)

import qa
from qa.answering.nbest import Answer
from qa.answering.reader import Reader
from qa.serving.openapi import ANSWER, FAILURES
from qa.serving.reading import Asked, Found, make_work, warm_up

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS = [{"question": e.question, "context": e.context} for e in article_examples()]
HEAD = (
    b"POST /answer HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n"
)


@pytest.fixture(scope="module")
def reader() -> Reader:
    """A tiny reader; it is trained to answer every question."""
    directory = ROOT / "tests" / "outputs" / "golden" / "answerable" / "run" / "best"
    return Reader.from_pretrained(directory, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def site(reader: Reader) -> Iterator[Site]:
    """It, served."""
    warm_up(reader)
    with serving(make_work(reader, nfc=True)) as site:
        yield site


def require_same(found: list[dict[str, Any]], expected: list[Answer]) -> None:
    """The same spans; scores within rounding, since the batch may be another."""
    assert [(a["text"], a["start"], a["end"]) for a in found] == [
        (a.text, a.start, a.end) for a in expected
    ]
    for name in ("score", "probability"):
        assert [a[name] for a in found] == pytest.approx(
            [getattr(a, name) for a in expected], abs=1e-4
        )


# Answers


@pytest.mark.parametrize("top_k", [1, 3, 5])
def test_a_question_gets_what_the_reader_answers(top_k: int, site: Site, reader: Reader) -> None:
    code, found = site.ask({**PAIRS[0], "top_k": top_k})
    assert code == 200
    assert set(found) == {"answers", "question_was_cut"}
    require_same(found["answers"], reader.answer_many(PAIRS[:1], top_k=top_k)[0])


def test_a_list_gets_a_list_in_its_order(site: Site, reader: Reader) -> None:
    """Each with its own top_k."""
    wanted = [1 + i % 5 for i in range(len(PAIRS))]
    sent = [{**pair, "top_k": k} for pair, k in zip(PAIRS, wanted, strict=True)]
    code, found = site.ask(sent)
    assert code == 200
    for each, pair, k in zip(found, PAIRS, wanted, strict=True):
        require_same(each["answers"], reader.answer_many([pair], top_k=k)[0])
    assert len(site.ask([PAIRS[0]])[1]) == 1


def test_many_clients_at_once_get_their_own_answers(site: Site, reader: Reader) -> None:
    expected = reader.answer_many(PAIRS)
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(site.ask, PAIRS * 4))
    for (code, found), answers in zip(replies, expected * 4, strict=True):
        assert code == 200
        require_same(found["answers"], answers)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_places_count_code_points_of_what_was_sent(form: Any, site: Site) -> None:
    """Of decomposed Hangul, too, and behind characters that are two units in JavaScript."""
    context = "🏛️👩‍🚀 " + unicodedata.normalize(form, PAIRS[0]["context"])
    _, found = site.ask({**PAIRS[0], "context": context, "top_k": 5})
    _, plain = site.ask({**PAIRS[0], "context": unicodedata.normalize("NFC", context), "top_k": 5})
    assert len(found["answers"]) == 5
    for answer, usual in zip(found["answers"], plain["answers"], strict=True):
        assert context[answer["start"] : answer["end"]] == answer["text"]
        assert unicodedata.normalize("NFC", answer["text"]) == usual["text"]


def test_a_question_that_is_read_in_part_says_so(site: Site) -> None:
    long = {**PAIRS[0], "question": "긴 질문 " * 40}
    flags = [each["question_was_cut"] for each in site.ask([PAIRS[0], long, PAIRS[1]])[1]]
    assert flags == [False, True, False]


def test_one_without_an_answer_gets_none(reader: Reader) -> None:
    other = Reader(reader.answerer, reader.tokenizer, reader.windows)
    other.null_score_diff_threshold = -1e9
    with serving(make_work(other, nfc=False)) as site:
        assert site.ask(PAIR) == (200, {"answers": [], "question_was_cut": False})


# Mistakes


@pytest.mark.parametrize(
    ("sent", "code", "sentence"),
    [
        (b"{", 422, "the body is not JSON"),
        ({**PAIR, "context": ""}, 422, "the context is empty"),
        ([PAIR, {}], 422, "pair 1: has no question and no context"),
        ([PAIR] * 33, 413, "33 questions; a request takes 32 at most"),
        ({**PAIR, "context": "가" * 100_001}, 413, "100,001 characters of context"),
        (b" " * 2_000_000, 413, "the body is too large; at most 1,992,576 bytes are taken"),
        (b" " * 20_000_000, 413, "the body is too large"),
    ],
)
def test_a_mistake_gets_a_sentence(sent: Any, code: int, sentence: str, site: Site) -> None:
    found_code, found = site.ask(sent)
    assert found_code == code
    assert list(found) == ["error"]
    assert found["error"].startswith(sentence)


def test_a_large_body_in_chunks_is_too_large(site: Site) -> None:
    chunk = b"186a0\r\n" + b" " * 100_000 + b"\r\n"
    head = HEAD.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked\r\nConnection: close")
    with site.begin(head + chunk * 30 + b"0\r\n\r\n") as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_the_body_must_be_declared_as_json(site: Site) -> None:
    """A form of any other web page can send the types that are refused, but not this one."""
    body = json.dumps(PAIR).encode()
    for kind, expected in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 200),
    ]:
        code, headers, _ = site.send("POST", "/answer", body, content_type=kind)
        assert code == expected
        assert "access-control-allow-origin" not in headers
    assert site.send("POST", "/answer", body)[0] == 415


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/answer", 405), ("GET", "/no", 404), ("POST", "/", 405)]
)
def test_what_is_not_there(method: str, path: str, code: int, site: Site) -> None:
    found, _, content = site.send(method, path)
    assert found == code
    assert json.loads(content) == {"error": f"there is no {method} {path}; see /openapi.json"}


def test_what_is_no_http_gets_a_400(site: Site) -> None:
    with site.begin(b"nonsense\r\n\r\n") as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")


# Load


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


def test_a_reader_that_fails_is_a_500_and_in_the_end_unhealthy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails_at_times(batch: list[Asked]) -> list[Found]:
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


def test_no_response_waits_for_the_client_to_acknowledge_its_head(site: Site) -> None:
    """Which it does 40 ms later."""
    with site.begin(b"GET /hea"):
        wait_until(lambda: site.server.server_state.connections)
        for connection in site.server.server_state.connections:
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# What is there besides


def test_health_names_the_reader(site: Site) -> None:
    code, _, content = site.send("GET", "/health")
    about = {"model": "tiny", "version": qa.__version__, "max_top_k": 5}
    assert (code, json.loads(content)) == (200, {"status": "ready", **about})


def test_metrics_count_what_happened(reader: Reader) -> None:
    with serving(make_work(reader, nfc=True)) as site:
        site.ask(PAIR)
        site.ask([PAIR] * 3)
        site.ask({})
        site.send("GET", "/anything")
        code, headers, content = site.send("GET", "/metrics")
    assert (code, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = content.decode().splitlines()
    assert all(
        re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]+",?)+\})? \S+', x) for x in lines
    )
    assert {
        'qa_requests_total{route="/answer",code="200"} 2',
        'qa_requests_total{route="/answer",code="422"} 1',
        'qa_requests_total{route="other",code="404"} 1',
        "qa_answer_seconds_count 2",
        "qa_queue_length 0",
        "qa_queue_limit 64",
        "qa_batch_size_sum 4.0",
        "qa_batch_size_count 2",
        "qa_model_seconds_count 2",
        "qa_queue_seconds_count 2",
    } <= set(lines)


def test_the_description_is_that_of_what_is_there(site: Site) -> None:
    _, _, content = site.send("GET", "/openapi.json")
    described = json.loads(content)
    schemas = described["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/(\w+)"', content.decode()):
        assert name in schemas
    for path, methods in described["paths"].items():
        for method in methods:
            assert site.send(method.upper(), path)[0] not in (404, 405)
    _, found = site.ask(PAIR)
    assert set(schemas["Found"]["properties"]) == set(found)
    assert set(ANSWER) == set(found["answers"][0])
    assert set(schemas["Health"]["properties"]) == set(json.loads(site.send("GET", "/health")[2]))
    assert set(described["paths"]["/answer"]["post"]["responses"]) == {"200", *FAILURES}
    assert schemas["Asked"]["properties"]["top_k"]["maximum"] == 5
    assert schemas["Asked"]["properties"]["context"]["maxLength"] == 100_000


def test_the_page_needs_nothing_from_elsewhere(site: Site) -> None:
    """And allows nothing: no script but its own, whatever a text holds."""
    for path, kind in (("/", "html"), ("/page.css", "css"), ("/page.js", "javascript")):
        code, headers, content = site.send("GET", path)
        assert (code, headers["content-type"]) == (200, f"text/{kind}; charset=utf-8")
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        links = re.findall(r"https?://[^\s'\"]+", content.decode())
        assert set(links) <= {"http://www.w3.org/2000/svg"}  # a name, which is not looked up
        assert "innerHTML" not in content.decode()
