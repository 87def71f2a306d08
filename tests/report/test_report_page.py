"""The page as a file: well-formed, closed in itself, and safe against any text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.reports import made_up, many_examples

from qa.data.examples import Example
from qa.report.content import Report
from qa.report.excerpts import excerpts, pieces_around
from qa.report.page import make_page, write_page
from qa.report.predicted import Predicted
from qa.report.scores import report_scores

VOID = {"meta", "input"}
NASTY = "</script><script>alert(1)</script><!-- {{style}} & \u2028 \U0001f600 ]]> <img src=x>"


class Parsed(HTMLParser):
    """Checks that tags are balanced; collects elements, and the texts of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data


def report_of(examples: list[Example], predicted: Predicted) -> dict[str, Any]:
    return Report([predicted], examples, report_scores(examples), "data.json").content()


def nasty() -> tuple[list[Example], Predicted]:
    """Every text is hostile."""
    examples = [
        replace(each, question=each.question + NASTY, context=NASTY + each.context, title=NASTY)
        for each in many_examples(2)
    ]
    examples = [
        replace(each, id=each.id + NASTY, answer_starts=(len(NASTY) + each.answer_starts[0],))
        for each in examples
    ]
    return examples, Predicted(NASTY, {each.id: NASTY for each in examples})


@pytest.mark.parametrize("is_nasty", [False, True])
def test_well_formed_and_whole(is_nasty: bool, tmp_path: Path) -> None:
    examples = many_examples(20, unanswerable=4)
    examples, predicted = nasty() if is_nasty else (examples, made_up(examples, threshold=0))
    content = report_of(examples, predicted)
    write_page(tmp_path / "report.html", content)
    page = Parsed((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.scripts) == 2
    assert json.loads(page.scripts[0]) == json.loads(json.dumps(content))
    ids = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert sorted(ids) == sorted(set(ids))
    assert [tag for tag, _ in page.elements].count("title") == 1


def test_nothing_is_asked_of_the_network() -> None:
    examples = many_examples(2)
    page = make_page(report_of(examples, made_up(examples)))
    assert not re.search(r"https?://|\bimport\b|fetch\(|url\(|XMLHttp", page)
    elements = Parsed(page).elements
    assert not [attributes for _, attributes in elements if {"src", "href"} & attributes.keys()]
    policies = [
        attributes["content"]
        for _, attributes in elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in str(policies[0])


def test_no_markup_is_made_of_texts() -> None:
    """Texts become text nodes: no script of the page knows of another way."""
    folder = Path(__file__).parents[2] / "qa" / "report" / "page"
    scripts = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", scripts)


def test_size() -> None:
    """At most 1 MB for 1,000 questions, also if each has a long context of its own."""
    short = many_examples(100)
    filler = "물빛 다리는 새벽강을 건너는 다리이다. " * 200
    long = [
        replace(each, context=f"{each.context} {filler}{number}")
        for number, each in enumerate(short)
    ]
    for examples in (short, long):
        size = len(make_page(report_of(examples, made_up(examples))).encode())
        assert size <= 1_000_000 * len(examples) / 1000


# What is kept of long contexts


def test_short_contexts_are_whole() -> None:
    contexts = {"가나다": [(0, 1)], "라마바": []}
    assert excerpts(contexts, 2) == [[(0, "가나다")], [(0, "라마바")]]


def test_of_long_ones_what_is_marked() -> None:
    text = "".join(chr(0xAC00 + i % 1000) for i in range(400_000))
    (pieces,) = excerpts({text: [(1000, 1005), (1050, 1060), (300_000, 300_002)]}, 3)
    assert [(start, start + len(piece)) for start, piece in pieces] == [
        (960, 1100),
        (299_960, 300_042),
    ]
    assert all(text[start : start + len(piece)] == piece for start, piece in pieces)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], [(0, "0123")]),
        ([(0, 1)], [(0, "012")]),
        ([(9, 10)], [(7, "789")]),
        ([(8, 9), (1, 2)], [(0, "0123"), (6, "6789")]),
        ([(3, 4), (6, 7)], [(1, "12345678")]),
    ],
)
def test_pieces(spans: list[tuple[int, int]], expected: list[tuple[int, str]]) -> None:
    assert pieces_around("0123456789", spans, margin=2) == expected
