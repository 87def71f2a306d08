"""Questions without a context, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.articles import article_examples
from support.collection import WordSearch, article_passages
from support.serving import PAIR, Site, serving

import qa.cli.index
from qa.answering.reader import Reader
from qa.engine.errors import UserError
from qa.open_domain.reader import OpenReader
from qa.retrieval.index import Index
from qa.retrieval.passage import Hit
from qa.serving.openapi import ANSWER, OPEN_ANSWER
from qa.serving.options import Collection, ServingOptions
from qa.serving.reading import make_work, warm_up
from qa.serving.requests import parse

pytestmark = pytest.mark.usefixtures("one_thread")

EXAMPLES = article_examples()


@pytest.fixture(scope="module")
def open_reader(tiny_reader: Reader) -> OpenReader:
    """The reader with the articles."""
    return OpenReader(tiny_reader, WordSearch(article_passages()), k=3)


@pytest.fixture(scope="module")
def site(open_reader: OpenReader) -> Iterator[Site]:
    """A server of it."""
    work = make_work(open_reader.reader, True, open_reader)
    with serving(work, collection=Collection(len(article_passages()), 3)) as site:
        yield site


def test_both_kinds_of_questions_in_one_list(site: Site, open_reader: OpenReader) -> None:
    """Each gets what it would get alone, in its place and with its own top_k."""
    sent = [
        {"question": e.question, "top_k": 1 + i % 3, **({"context": e.context} if i % 2 else {})}
        for i, e in enumerate(EXAMPLES)
    ]
    code, found = site.ask(sent)
    assert code == 200
    for i, (example, each) in enumerate(zip(EXAMPLES, found, strict=True)):
        alone = (
            open_reader.reader.answer(question=example.question, context=example.context, top_k=5)
            if i % 2
            else open_reader.answer(example.question, top_k=5)
        )
        answers = each["answers"]
        assert len(answers) == 1 + i % 3
        for answer, expected in zip(answers, alone, strict=False):
            assert set(answer) == set(ANSWER if i % 2 else OPEN_ANSWER)
            for name, value in vars(expected).items():
                assert answer[name] == (
                    pytest.approx(value, abs=1e-3) if isinstance(value, float) else value
                )


def test_a_question_alone_and_one_that_is_cut(site: Site) -> None:
    code, found = site.ask({"question": EXAMPLES[0].question})
    assert (code, found["question_was_cut"], len(found["answers"])) == (200, False, 1)
    code, found = site.ask([{"question": "없다"}, {"question": "강나루 " * 60}])
    assert code == 200
    assert [each["question_was_cut"] for each in found] == [False, True]


def test_nothing_found_is_no_answer(site: Site) -> None:
    assert site.ask({"question": "xyz?"}) == (200, {"answers": [], "question_was_cut": False})


def test_what_is_told_of_the_collection(site: Site, tiny_site: Site) -> None:
    for each, passages in ((site, len(article_passages())), (tiny_site, 0)):
        assert json.loads(each.send("GET", "/health")[2])["passages"] == passages
        described = json.loads(each.send("GET", "/openapi.json")[2])
        schemas = described["components"]["schemas"]
        needed = ["question"] if passages else ["question", "context"]
        assert schemas["Asked"]["required"] == needed
        assert ("OpenAnswer" in schemas) is bool(passages)
    answer = site.ask({"question": EXAMPLES[0].question})[1]["answers"][0]
    assert set(OPEN_ANSWER) == set(answer)


def test_a_context_that_is_sent_must_be_one(site: Site, tiny_site: Site) -> None:
    for context, reason in ((None, "must be a string, not None"), ("", "is empty")):
        code, found = site.ask({"question": "가?", "context": context})
        assert (code, found) == (422, {"error": f"the context {reason}"})
    code, found = site.ask({"context": PAIR["context"]})
    assert (code, found["error"].split(";")[0]) == (422, "has no question")
    code, found = site.ask({"question": " "})
    assert (code, found) == (422, {"error": "the question is empty"})
    code, found = tiny_site.ask({"question": "가?"})
    assert (code, found["error"].split(";")[0]) == (422, "has no context")


@pytest.mark.parametrize("key", ["Context", "text", "passage", "contex\nt"])
def test_a_text_under_another_name_is_not_taken_for_none(
    key: str, site: Site, tiny_site: Site
) -> None:
    """Which would be answered from the collection."""
    sent = {"question": "가?", key: PAIR["context"], "top_k": 2}
    name = key.replace("\n", "\\n")
    for body, place in ((sent, ""), ([{"question": "가?"}, sent], "pair 1: ")):
        code, found = site.ask(body)
        assert (code, found["error"].split(";")[0]) == (422, f"{place}has no context, but {name}")
    assert tiny_site.ask(sent)[0] == 422
    # The description says so: a context, or no other names.
    described = json.loads(site.send("GET", "/openapi.json")[2])["components"]["schemas"]["Asked"]
    assert described["anyOf"] == [
        {"required": ["context"]},
        {"propertyNames": {"enum": ["question", "top_k"]}},
    ]


def test_without_a_collection_a_context_is_needed() -> None:
    body = json.dumps({"question": "가?"}).encode()
    (asked,), _ = parse(body, ServingOptions(), 5, has_collection=True)
    assert (asked.example.question, asked.example.context) == ("가?", "")
    with pytest.raises(UserError, match="has no context"):
        parse(body, ServingOptions(), 5)


def test_an_index_is_searched_in_the_models_thread(
    squad_file: Path, tmp_path: Path, tiny_reader: Reader
) -> None:
    """One on disk, which was opened here; what is added while the server runs is found."""
    folder, more = str(tmp_path / "my.index"), tmp_path / "more.txt"
    assert qa.cli.index.main([str(squad_file), "--output", folder]) == 0
    asked = OpenReader(tiny_reader, Index.open(folder), k=2)
    collection = Collection(len(article_passages()), 2)
    with serving(make_work(tiny_reader, True, asked), collection=collection) as site:
        for example in EXAMPLES[:4]:
            code, found = site.ask({"question": example.question})
            assert (code, found["answers"][0]["passage"]) == (200, example.context)
        more.write_text("첫 문장이다. 갈매여울은 1777년에 생긴 나루이다.", encoding="utf-8")
        assert qa.cli.index.main([str(more), "--output", folder]) == 0
        answer = site.ask({"question": "갈매여울이 생긴 해는?"})[1]["answers"][0]
    assert answer["document"] == "more.txt"
    text = more.read_text(encoding="utf-8")
    assert text[answer["start"] : answer["end"]] == answer["text"]


def test_what_the_collection_lacks_is_told_before_anybody_asks(open_reader: OpenReader) -> None:
    class Lacking:
        def search(self, question: str, k: int) -> list[Hit]:
            raise UserError("/home/me/encoder: no such model directory")

    warm_up(open_reader.reader, open_reader)
    with pytest.raises(UserError, match="no such model directory"):
        warm_up(open_reader.reader, OpenReader(open_reader.reader, Lacking()))
