"""The API over real HTTP: answers, and what is there besides."""

from __future__ import annotations

import json
import re
import socket
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.articles import article_examples
from support.runs import wait_until
from support.serving import PAIR, Site, request_bytes, serving

import qa
from qa.answering.nbest import Answer
from qa.answering.reader import Reader
from qa.serving.openapi import ANSWER, FAILURES
from qa.serving.reading import make_work

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS = [{"question": e.question, "context": e.context} for e in article_examples()]


def require_same(found: list[dict[str, Any]], expected: list[Answer]) -> None:
    """The same spans; scores within rounding, since the batch may be another."""
    assert [(a["text"], a["start"], a["end"]) for a in found] == [
        (a.text, a.start, a.end) for a in expected
    ]
    for name in ("score", "probability"):
        assert [a[name] for a in found] == pytest.approx(
            [getattr(a, name) for a in expected], abs=1e-4
        )


@pytest.mark.parametrize("top_k", [1, 3, 5])
def test_a_question_gets_what_the_reader_answers(
    top_k: int, tiny_site: Site, tiny_reader: Reader
) -> None:
    code, found = tiny_site.ask({**PAIRS[0], "top_k": top_k})
    assert code == 200
    assert set(found) == {"answers", "question_was_cut"}
    require_same(found["answers"], tiny_reader.answer_many(PAIRS[:1], top_k=top_k)[0])


def test_a_list_gets_a_list_in_its_order(tiny_site: Site, tiny_reader: Reader) -> None:
    """Each with its own top_k."""
    wanted = [1 + i % 5 for i in range(len(PAIRS))]
    sent = [{**pair, "top_k": k} for pair, k in zip(PAIRS, wanted, strict=True)]
    code, found = tiny_site.ask(sent)
    assert code == 200
    for each, pair, k in zip(found, PAIRS, wanted, strict=True):
        require_same(each["answers"], tiny_reader.answer_many([pair], top_k=k)[0])
    assert len(tiny_site.ask([PAIRS[0]])[1]) == 1


def test_many_clients_at_once_get_their_own_answers(tiny_site: Site, tiny_reader: Reader) -> None:
    expected = tiny_reader.answer_many(PAIRS)
    with ThreadPoolExecutor(8) as clients:
        replies = list(clients.map(tiny_site.ask, PAIRS * 4))
    for (code, found), answers in zip(replies, expected * 4, strict=True):
        assert code == 200
        require_same(found["answers"], answers)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_places_count_code_points_of_what_was_sent(form: Any, tiny_site: Site) -> None:
    """Of decomposed Hangul, too, and behind characters that are two units in JavaScript."""
    context = "🏛️👩‍🚀 " + unicodedata.normalize(form, PAIRS[0]["context"])
    _, found = tiny_site.ask({**PAIRS[0], "context": context, "top_k": 5})
    _, plain = tiny_site.ask(
        {**PAIRS[0], "context": unicodedata.normalize("NFC", context), "top_k": 5}
    )
    assert len(found["answers"]) == 5
    for answer, usual in zip(found["answers"], plain["answers"], strict=True):
        assert context[answer["start"] : answer["end"]] == answer["text"]
        assert unicodedata.normalize("NFC", answer["text"]) == usual["text"]


def test_a_question_that_is_read_in_part_says_so(tiny_site: Site) -> None:
    long = {**PAIRS[0], "question": "긴 질문 " * 40}
    flags = [each["question_was_cut"] for each in tiny_site.ask([PAIRS[0], long, PAIRS[1]])[1]]
    assert flags == [False, True, False]


def test_one_without_an_answer_gets_none(tiny_reader: Reader) -> None:
    other = Reader(tiny_reader.answerer, tiny_reader.tokenizer, tiny_reader.windows)
    other.null_score_diff_threshold = -1e9
    with serving(make_work(other, nfc=False)) as site:
        assert site.ask(PAIR) == (200, {"answers": [], "question_was_cut": False})


@pytest.mark.parametrize("timeout", [2, 60])
def test_a_question_that_nobody_waits_for_is_read_no_further(
    timeout: int, tiny_reader: Reader
) -> None:
    """Of many batches the model reads one, in which the time is over, or else the client leaves."""
    expected = tiny_reader.answer_many([PAIR])[0]
    code = 504 if timeout == 2 else 499
    clients: list[socket.socket] = []
    batches = 0

    def read(*_: Any) -> None:
        nonlocal batches
        batches += 1
        wait_until(lambda: clients)
        if code == 499:
            clients[0].close()
        wait_until(lambda: site.service.requests.counts["/answer", code])

    hook = tiny_reader.model.register_forward_pre_hook(read)
    try:
        with serving(make_work(tiny_reader, nfc=True), timeout=timeout) as site:
            clients.append(site.begin(request_bytes({**PAIR, "context": "가나 다라. " * 2000})))
            wait_until(lambda: batches)
            status, found = site.ask(PAIR)
    finally:
        hook.remove()
        clients[0].close()
    assert (status, batches) == (200, 2)
    require_same(found["answers"], expected)


def test_health_names_the_reader(tiny_site: Site) -> None:
    code, _, content = tiny_site.send("GET", "/health")
    about = {"model": "tiny", "version": qa.__version__, "max_top_k": 5, "passages": 0}
    assert (code, json.loads(content)) == (200, {"status": "ready", **about})


def test_metrics_count_what_happened(tiny_reader: Reader) -> None:
    with serving(make_work(tiny_reader, nfc=True)) as site:
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


def test_the_description_is_that_of_what_is_there(tiny_site: Site) -> None:
    _, _, content = tiny_site.send("GET", "/openapi.json")
    described = json.loads(content)
    schemas = described["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/(\w+)"', content.decode()):
        assert name in schemas
    for path, methods in described["paths"].items():
        for method in methods:
            assert tiny_site.send(method.upper(), path)[0] not in (404, 405)
    _, found = tiny_site.ask(PAIR)
    assert set(schemas["Found"]["properties"]) == set(found)
    assert set(ANSWER) == set(found["answers"][0])
    assert set(schemas["Health"]["properties"]) == set(
        json.loads(tiny_site.send("GET", "/health")[2])
    )
    assert set(described["paths"]["/answer"]["post"]["responses"]) == {"200", *FAILURES}
    assert schemas["Asked"]["properties"]["top_k"]["maximum"] == 5
    assert schemas["Asked"]["properties"]["context"]["maxLength"] == 100_000


def test_the_page_needs_nothing_from_elsewhere(tiny_site: Site) -> None:
    """And allows nothing: no script but its own, whatever a text holds."""
    for path, kind in (("/", "html"), ("/page.css", "css"), ("/page.js", "javascript")):
        code, headers, content = tiny_site.send("GET", path)
        assert (code, headers["content-type"]) == (200, f"text/{kind}; charset=utf-8")
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        links = re.findall(r"https?://[^\s'\"]+", content.decode())
        assert set(links) <= {"http://www.w3.org/2000/svg"}  # a name, which is not looked up
        assert "innerHTML" not in content.decode()
