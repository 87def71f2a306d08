"""The adapter for OpenSearch, against a small server that scores by BM25."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.bm25 import bm25
from support.indexes import DOCUMENTS, fill

from qa.engine.errors import UserError
from qa.retrieval.documents import Document
from qa.retrieval.index import Index
from qa.retrieval.opensearch import BATCH, OpenSearch


class Fake(BaseHTTPRequestHandler):
    """What the adapter uses of OpenSearch's documented interface, for an index `docs/ko`."""

    def _answer(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        path = self.path.removeprefix("/docs%2Fko")
        server.seen.append((self.command, path, self.headers["Authorization"]))
        code, content = getattr(self, SERVED[self.command, path.partition("?")[0]])(server, body)
        data = json.dumps(content).encode()
        self.send_response(code)
        self.end_headers()
        self.wfile.write(data)

    do_PUT = do_POST = _answer  # noqa: N815 (http.server's names)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def create(self, server: Any, body: str) -> tuple[int, Any]:
        if server.mappings is not None:
            return 400, {"error": {"type": "resource_already_exists_exception"}}
        server.mappings = json.loads(body)["mappings"]
        return 200, {"acknowledged": True}

    def bulk(self, server: Any, body: str) -> tuple[int, Any]:
        lines = [json.loads(line) for line in body.splitlines()]
        assert all(line == {"index": {}} for line in lines[::2])
        items: list[Any] = []
        for row in lines[1::2]:
            assert row.keys() == server.mappings["properties"].keys()
            if row["title"] == "refused":
                items.append({"index": {"status": 400, "error": {"reason": "no"}}})
                continue
            server.rows.append(row)
            items.append({"index": {"status": 201}})
        return 200, {"errors": any("error" in item["index"] for item in items), "items": items}

    def delete(self, server: Any, body: str) -> tuple[int, Any]:
        """Of what a search would find, as OpenSearch has it."""
        ids = json.loads(body)["query"]["terms"]["document"]
        gone = {id(row) for row in server.visible if row["document"] in ids}
        server.rows = [row for row in server.rows if id(row) not in gone]
        return self.refresh(server, body)

    def refresh(self, server: Any, body: str) -> tuple[int, Any]:
        server.visible = list(server.rows)
        return 200, {}

    def find(self, server: Any, body: str) -> tuple[int, Any]:
        content = json.loads(body)
        rows = {n: row["tokens"].split(" ") for n, row in enumerate(server.visible)}
        query = content["query"]
        if "match" in query:
            tokens = query["match"]["tokens"].split(" ")
        else:
            start = query["prefix"]["tokens"]["value"]
            tokens = sorted({t for each in rows.values() for t in each if t.startswith(start)})
        scores = sorted(bm25(rows, tokens, steps=True).items(), key=lambda each: -each[1])
        hits = [
            {"_source": {k: v for k, v in server.visible[n].items() if k != "tokens"}, "_score": s}
            for n, s in scores[: content["size"]]
        ]
        return 200, {"hits": {"hits": hits}}


SERVED = {
    ("PUT", ""): "create",
    ("POST", "/_bulk"): "bulk",
    ("POST", "/_delete_by_query"): "delete",
    ("POST", "/_refresh"): "refresh",
    ("POST", "/_search"): "find",
}


@pytest.fixture
def server() -> Iterator[Any]:
    """A running server."""
    http: Any = HTTPServer(("127.0.0.1", 0), Fake)
    http.seen, http.rows, http.visible, http.mappings = [], [], [], None
    Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


@pytest.fixture
def search(server: Any) -> OpenSearch:
    """An index on it, with the documents."""
    host = f"127.0.0.1:{server.server_port}"
    search = OpenSearch(f"http://me:a%40b@{host}/", "docs/ko")
    search.create()
    assert search.add(DOCUMENTS) == 6
    return search


@pytest.mark.parametrize("question", ["강나루가 태어난 해는?", "산", "?"])
def test_it_finds_what_an_index_finds(question: str, search: OpenSearch, tmp_path: Path) -> None:
    fill(tmp_path)
    expected = Index.open(tmp_path).search(question, 3)
    found = search.search(question, 3)
    assert [hit.passage for hit in found] == [hit.passage for hit in expected]
    scores = [hit.score for hit in expected]
    assert [hit.score for hit in found] == pytest.approx(scores, rel=1e-5)


def test_documents_are_replaced_and_removed(search: OpenSearch, server: Any) -> None:
    search.add([Document("0", "", "가" * 70 + ". " + "나" * 70 + "."), Document("9", "", " ")], 100)
    assert [hit.passage.start for hit in search.search("나나", 2)] == [72]
    search.remove(["1", "2"])
    assert [row["document"] for row in server.rows] == ["3", "4", "5", "0", "0"]


def test_of_several_documents_with_one_id_the_last_one_counts(
    search: OpenSearch, server: Any
) -> None:
    """In one request, and in two."""
    ids = ["x", "x", *map(str, range(BATCH)), "x"]
    assert search.add(Document(name, "", f"글 {n}") for n, name in enumerate(ids)) == len(ids)
    texts = [row["text"] for row in server.visible if row["document"] == "x"]
    assert texts == [f"글 {BATCH + 2}"]
    search.add([Document("x", "", "하나"), Document("x", "", "둘")])
    assert [row["text"] for row in server.visible if row["document"] == "x"] == ["둘"]


def test_name_and_password_are_sent_and_never_told(search: OpenSearch, server: Any) -> None:
    expected = "Basic " + base64.b64encode(b"me:a@b").decode()
    assert {sign for _, _, sign in server.seen} == {expected}
    with pytest.raises(UserError, match="answers 400 .*already_exists") as caught:
        search.create()
    assert "a@b" not in str(caught.value)


def test_what_the_server_refuses(search: OpenSearch) -> None:
    with pytest.raises(UserError, match="refuses a passage of bad .*no"):
        search.add([Document("bad", "refused", "text")])


def test_no_server() -> None:
    with pytest.raises(UserError, match="is no URL of a server"):
        OpenSearch("localhost:9200", "i")
    with pytest.raises(UserError, match="http://127.0.0.1:9/i: the server does not answer"):
        OpenSearch("http://127.0.0.1:9", "i").search("질문", 1)
