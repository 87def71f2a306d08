"""Requests that are wrong, over real HTTP: each gets a code and a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.serving import PAIR, Site, read_all

pytestmark = pytest.mark.usefixtures("one_thread")

HEAD = (
    b"POST /answer HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100\r\n\r\n"
)


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
def test_a_mistake_gets_a_sentence(sent: Any, code: int, sentence: str, tiny_site: Site) -> None:
    found_code, found = tiny_site.ask(sent)
    assert found_code == code
    assert list(found) == ["error"]
    assert found["error"].startswith(sentence)


def test_a_large_body_in_chunks_is_too_large(tiny_site: Site) -> None:
    chunk = b"186a0\r\n" + b" " * 100_000 + b"\r\n"
    head = HEAD.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked\r\nConnection: close")
    with tiny_site.begin(head + chunk * 30 + b"0\r\n\r\n") as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


def test_the_body_must_be_declared_as_json(tiny_site: Site) -> None:
    """A form of any other web page can send the types that are refused, but not this one."""
    body = json.dumps(PAIR).encode()
    for kind, expected in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON ;charset=utf-8", 200),  # RFC 9110: in any case
    ]:
        code, headers, _ = tiny_site.send("POST", "/answer", body, content_type=kind)
        assert code == expected
        assert "access-control-allow-origin" not in headers
    assert tiny_site.send("POST", "/answer", body)[0] == 415


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/answer", 405), ("GET", "/no", 404), ("POST", "/", 405)]
)
def test_what_is_not_there(method: str, path: str, code: int, tiny_site: Site) -> None:
    found, _, content = tiny_site.send(method, path)
    assert found == code
    assert json.loads(content) == {"error": f"there is no {method} {path}; see /openapi.json"}


def test_what_is_no_http_gets_a_400(tiny_site: Site) -> None:
    with tiny_site.begin(b"nonsense\r\n\r\n") as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")
