"""A reader that is asked without a context."""

from __future__ import annotations

import math
import unicodedata
import warnings
from typing import Any

import pytest
from support.articles import article_examples
from support.collection import TEXTS, WordSearch, article_passages

from qa.answering.options import CollectionOptions
from qa.answering.reader import Reader
from qa.engine.errors import Notice, UserError
from qa.open_domain.answers import OpenAnswer, rank_open_answers
from qa.open_domain.reader import OpenReader
from qa.retrieval.passage import Hit, Passage

pytestmark = pytest.mark.usefixtures("one_thread")

QUESTIONS = [example.question for example in article_examples()]
UNKNOWN = "xyz?"  # of which no passage has a pair of letters


def require_same(found: list[OpenAnswer], expected: list[OpenAnswer]) -> None:
    """The same answers; scores within rounding, since the batch may be another."""
    assert [(a.text, a.document, a.start, a.passage) for a in found] == [
        (a.text, a.document, a.start, a.passage) for a in expected
    ]
    for name in ("score", "probability"):
        ours, theirs = ([getattr(a, name) for a in answers] for answers in (found, expected))
        assert ours == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("k", [1, 3])
def test_answers_are_those_of_the_passages_read_alone(k: int, tiny_reader: Reader) -> None:
    """Of each passage alone by `Reader.answer`, and in one batch with questions without any."""
    search = WordSearch(article_passages())
    top_k = tiny_reader.answerer.options.n_best_size
    asked = [UNKNOWN, QUESTIONS[0], UNKNOWN, *QUESTIONS[1:], UNKNOWN]
    found = OpenReader(tiny_reader, search, k=k).answer_many(asked, top_k=5)
    assert search.asked == [(question, k) for question in asked]
    for question, answers in zip(asked, found, strict=True):
        hits = WordSearch(article_passages()).search(question, k)
        alone = [
            tiny_reader.answer(question=question, context=hit.passage.text, top_k=top_k)
            for hit in hits
        ]
        require_same(answers, rank_open_answers(hits, alone, weight=0.5)[:5])
        for answer in answers:
            assert TEXTS[answer.document][answer.start : answer.end] == answer.text
    assert found[0] == found[2] == found[-1] == []


def test_one_question_and_many(tiny_reader: Reader) -> None:
    reader = OpenReader(tiny_reader, WordSearch(article_passages()))
    require_same(reader.answer(f" {QUESTIONS[0]}\n"), reader.answer_many(QUESTIONS[:1])[0])
    assert len(reader.answer(QUESTIONS[0], top_k=3)) == 3
    assert reader.answer_many([]) == []


def copy_of(reader: Reader, **settings: float | None) -> Reader:
    """The reader with other settings for collections."""
    options = CollectionOptions(**settings)
    return Reader(reader.answerer, reader.tokenizer, reader.windows, options)


def test_what_the_reader_keeps_holds_unless_told_otherwise(tiny_reader: Reader) -> None:
    search = WordSearch(article_passages())
    kept = copy_of(tiny_reader, passage_weight=3.0, open_threshold=-2.0)
    for reader, expected in (
        (OpenReader(tiny_reader, search), (0.5, None)),
        (OpenReader(kept, search), (3.0, -2.0)),
        (OpenReader(kept, search, weight=0.0, threshold=math.inf), (0.0, math.inf)),
    ):
        assert (reader.weight, reader.threshold) == expected


def test_a_threshold_leaves_questions_unanswered(tiny_reader: Reader) -> None:
    """Over all passages: the reader's own for one context holds only if there is no other."""
    search = WordSearch(article_passages())
    (first,) = OpenReader(tiny_reader, search).answer(QUESTIONS[0])
    for threshold, count in ((-first.score + 1e-3, 1), (-first.score - 1e-3, 0)):
        assert (
            len(OpenReader(tiny_reader, search, threshold=threshold).answer(QUESTIONS[0])) == count
        )
        kept = copy_of(tiny_reader, open_threshold=threshold)
        kept.null_score_diff_threshold = -1e9
        assert len(OpenReader(kept, search).answer(QUESTIONS[0])) == count
    kept = copy_of(tiny_reader)
    kept.null_score_diff_threshold = -1e9
    assert OpenReader(kept, search).answer(QUESTIONS[0]) == []
    assert OpenReader(kept, search, threshold=math.inf).answer(QUESTIONS[0])


def test_settings_are_saved_with_the_reader(tiny_reader: Reader, tmp_path: Any) -> None:
    copy_of(tiny_reader, passage_weight=1.5, open_threshold=-3.25).save_pretrained(tmp_path)
    loaded = Reader.from_pretrained(tmp_path, device="cpu", precision="fp32")
    assert loaded.collection == CollectionOptions(1.5, -3.25)
    other = Reader.from_pretrained(tmp_path, device="cpu", precision="fp32", passage_weight=2)
    assert other.collection == CollectionOptions(2, -3.25)
    with pytest.raises(UserError, match="passage_weight must be between 0 and 1000, not -1"):
        Reader.from_pretrained(tmp_path, passage_weight=-1)


def test_decomposed_documents_are_read_composed(tiny_reader: Reader) -> None:
    """Places and texts are those of the document as it is."""
    composed = article_passages()
    decomposed = [
        Passage(p.document, p.title, 0, unicodedata.normalize("NFD", p.text)) for p in composed
    ]

    class Both:
        """Finds the same passages in both collections."""

        def __init__(self, passages: list[Passage]) -> None:
            self.passages = passages

        def search(self, question: str, k: int) -> list[Hit]:
            return [Hit(passage, 0.0) for passage in self.passages[:k]]

    question = unicodedata.normalize("NFD", QUESTIONS[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        found = OpenReader(tiny_reader, Both(decomposed)).answer(question, top_k=4)
        usual = OpenReader(tiny_reader, Both(composed)).answer(QUESTIONS[0], top_k=4)
    for answer, other in zip(found, usual, strict=True):
        assert unicodedata.normalize("NFC", answer.text) == other.text
        assert answer.passage[answer.start_in_passage : answer.end_in_passage] == answer.text
    assert found[0].text != usual[0].text or found[0].text.isascii()


def test_a_question_that_is_cut_is_told(tiny_reader: Reader) -> None:
    reader = OpenReader(tiny_reader, WordSearch(article_passages()))
    with pytest.warns(Notice, match="1 question.*cut to their last"):
        reader.answer_many([QUESTIONS[0], "강나루가 " * 60])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("why?", "pass a list of questions, not a str; put the one into a list"),
        (3, "pass a list of questions, not an int"),
        (["a?", 3], "question 1: the question must be a string, not an int"),
        (["a?", " \n"], "question 1: the question is empty"),
        (["\ud83d"], "question 0: the question holds half a surrogate pair"),
    ],
)
def test_wrong_questions_are_named(wrong: Any, message: str, tiny_reader: Reader) -> None:
    with pytest.raises(UserError) as error:
        OpenReader(tiny_reader, WordSearch([])).iterate_answers(wrong)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 0}, "k must be at least 1, not 0"),
        ({"k": 2.0}, "k must be a whole number, not a float"),
        ({"weight": -0.5}, "passage_weight must be between 0 and 1000, not -0.5"),
        ({"weight": math.nan}, "passage_weight must be between"),
    ],
)
def test_wrong_settings_are_named(settings: Any, message: str, tiny_reader: Reader) -> None:
    with pytest.raises(UserError) as error:
        OpenReader(tiny_reader, WordSearch([]), **settings)
    assert str(error.value).startswith(message)
    with pytest.raises(UserError, match="top_k must be at least 1"):
        OpenReader(tiny_reader, WordSearch([])).answer("a?", top_k=0)
