"""Search in an OpenSearch server, for collections beyond one machine (no extra package)."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from qa.engine.errors import UserError, cut, require
from qa.retrieval.bigrams import VERSION, bigrams
from qa.retrieval.cut import cut_passages
from qa.retrieval.documents import Document
from qa.retrieval.passage import Hit, Passage

BATCH = 100  # documents of one request
ACTION: dict[str, Any] = {"index": {}}  # before each of them: the server makes its id
MOST_TOKENS = 1000  # of a question: a query may have 1,024 parts
# Our tokens go in as words between blanks, so that the search is the one of an `Index`, whatever
# analysers the server has. Positions are not needed, nor is the field itself when a hit is read.
MAPPINGS = {
    "_meta": {"tokens": VERSION},
    "dynamic": "strict",
    "_source": {"excludes": ["tokens"]},
    "properties": {
        "tokens": {"type": "text", "analyzer": "whitespace", "index_options": "freqs"},
        "document": {"type": "keyword"},
        "title": {"type": "text", "index": False},
        "start": {"type": "integer", "index": False},
        "text": {"type": "text", "index": False},
    },
}


class OpenSearch:
    """Finds passages in an index of a server, by the same pairs of letters and BM25 as `Index`.

    Args:
        url: Of the server, as https://USER:PASSWORD@HOST:9200.
        index: Its name there.
        timeout: Seconds for a request.
    """

    def __init__(self, url: str, index: str, timeout: float = 30.0) -> None:
        parts = urlsplit(url)
        require(
            parts.scheme in ("http", "https") and parts.hostname,
            f"{parts.hostname or url}: is no URL of a server; it begins with http:// or https://",
        )
        host = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{host}{parts.path.rstrip('/')}/{quote(index, safe='')}"
        self.headers = {"Content-Type": "application/json"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self.timeout = timeout

    def create(self) -> None:
        """Make the index; UserError if it is there."""
        self._request("PUT", "", {"mappings": MAPPINGS})

    def add(self, documents: Iterable[Document], size: int = 500) -> int:
        """Add or replace documents, cut into passages of `size` characters; return how many.

        They are found when it returns. Of several with the same id the last one counts.
        """
        count = 0
        rest = iter(documents)
        while batch := list(islice(rest, BATCH)):
            last = {document.id: document for document in batch}
            self.remove(list(last))
            self._add([row for document in last.values() for row in _rows(document, size)])
            count += len(batch)
        self._request("POST", "/_refresh", None)
        return count

    def _add(self, rows: list[dict[str, Any]]) -> None:
        """Send passages."""
        lines = [line for row in rows for line in (ACTION, row)]
        answer = self._request("POST", "/_bulk", lines) if lines else {}
        if answer.get("errors"):
            wrong = next(i for i, item in enumerate(answer["items"]) if "error" in item["index"])
            reason = cut(str(answer["items"][wrong]["index"]["error"]))
            raise UserError(
                f"{self.url}: refuses a passage of {rows[wrong]['document']} ({reason})"
            )

    def remove(self, documents: Sequence[str]) -> None:
        """Remove the documents of these ids."""
        query = {"query": {"terms": {"document": list(documents)}}}
        self._request("POST", "/_refresh", None)  # what was added just now is not seen otherwise
        self._request("POST", "/_delete_by_query?refresh=true&conflicts=proceed", query)

    def search(self, question: str, k: int) -> list[Hit]:
        """Return at most `k` passages that fit a question best, best first."""
        tokens = bigrams(question)[:MOST_TOKENS]
        if not tokens:
            return []
        query: dict[str, Any] = {"match": {"tokens": " ".join(tokens)}}
        if len(tokens[0]) == 1:  # a question of one letter
            query = {"prefix": {"tokens": {"value": tokens[0], "rewrite": "scoring_boolean"}}}
        answer = self._request("POST", "/_search", {"size": k, "query": query})
        return [_hit(row) for row in answer["hits"]["hits"]]

    def _request(self, method: str, path: str, content: Any) -> Any:
        """Send JSON, or a list of JSON lines, and return what the server answers."""
        if isinstance(content, list):
            body = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in content)
        else:
            body = "" if content is None else json.dumps(content, ensure_ascii=False)
        request = urllib.request.Request(
            self.url + path, body.encode() or None, self.headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            reason = cut(error.read().decode(errors="replace"))
            raise UserError(f"{self.url}: the server answers {error.code} ({reason})") from error
        except (OSError, ValueError) as error:  # no connection, too late, or no JSON
            raise UserError(f"{self.url}: the server does not answer ({error})") from error


def _rows(document: Document, size: int) -> Iterator[dict[str, Any]]:
    """Yield the passages of a document as they are sent; none of an empty one."""
    text, title = document.text, document.title
    whole = [(0, text)] if text.strip() else []
    for start, part in whole if document.is_passage else cut_passages(text, size):
        yield {
            "document": document.id,
            "title": title,
            "start": start,
            "text": part,
            "tokens": " ".join(bigrams(f"{title}\n{part}")),
        }


def _hit(row: dict[str, Any]) -> Hit:
    """Return the passage of one row of an answer."""
    source = row["_source"]
    passage = Passage(source["document"], source["title"], source["start"], source["text"])
    return Hit(passage, row["_score"])
