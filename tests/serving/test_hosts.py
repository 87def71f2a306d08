"""Under which names a server answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.serving import PAIR, found_all, serving

from qa.serving.hosts import LOCAL, known_hosts, name_of
from qa.serving.reading import Asked, Found


@pytest.mark.parametrize(
    ("allowed", "host", "address", "expected"),
    [
        (None, "127.0.0.1", "127.0.0.1", set()),
        (None, "127.0.0.2", "127.0.0.2", {"127.0.0.2"}),
        (None, "::1", "::1", set()),
        (None, "My-PC", "127.0.1.1", {"my-pc", "127.0.1.1"}),
        (None, "0.0.0.0", "0.0.0.0", None),
        (None, "10.0.0.7", "10.0.0.7", None),
        ("*", "127.0.0.1", "127.0.0.1", None),
        ("QA.example.com:443, b", "127.0.0.1", "127.0.0.1", {"qa.example.com", "b"}),
        ("b", "10.0.0.7", "10.0.0.7", {"b", "10.0.0.7"}),
        ("2001:db8::5,[2001:db8::6]:80", "::", "::", {"2001:db8::5", "2001:db8::6", "::"}),
    ],
)
def test_names_that_are_known(
    allowed: str | None, host: str, address: str, expected: set[str] | None
) -> None:
    found = known_hosts(allowed, host, address)
    assert found == (None if expected is None else LOCAL | expected)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8000", "localhost"),
        ("LocalHost", "localhost"),
        ("localhost.:80", "localhost"),
        ("[::1]:8000", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("[nonsense", "[nonsense"),
        ("", ""),
    ],
)
def test_name_in_the_header(host: str, name: str) -> None:
    assert name_of(host) == name


def test_a_site_that_calls_this_machine_its_own_is_refused() -> None:
    """What a browser sends for a page of it, whose Origin is the same name."""

    def answer(batch: list[Asked], check: Callable[[], None]) -> list[Found]:
        return [found_all(asked.example.context) for asked in batch]

    with serving(answer, hosts=LOCAL) as site:
        for path in ("/answer", "/", "/health"):
            method, body = ("POST", b"{}") if path == "/answer" else ("GET", None)
            code, _, content = site.send(method, path, body, host="evil.example:8000")
            assert (code, b"not called evil.example;" in content) == (421, True)
        assert site.ask(PAIR)[0] == 200
        _, _, content = site.send("GET", "/metrics")
        assert b'qa_requests_total{route="/answer",code="421"} 1' in content
        # Without the header, which no browser leaves out, as a simple health check of a proxy.
        assert site.begin(b"GET /health HTTP/1.0\r\n\r\n").recv(12) == b"HTTP/1.1 200"
