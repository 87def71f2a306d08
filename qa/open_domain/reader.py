"""A reader with a collection: it is asked without a context.

reader = OpenReader(Reader.from_pretrained("runs/korquad/best"), Index.open("my.index"))
reader.answer("...")[0].document
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qa.answering.nbest import is_left
from qa.answering.options import FREE, PASSAGE_WEIGHT, PASSAGES, CollectionOptions
from qa.answering.questions import check_top_k, is_whole, kind, make_question
from qa.answering.reader import Reader
from qa.data.windows.coverage import Coverage
from qa.engine.errors import require
from qa.open_domain.answers import OpenAnswer, open_null_odds, rank_open_answers
from qa.open_domain.reading import read_passages, seek
from qa.retrieval.passage import Search


class OpenReader:
    """Answers from the passages that a search finds.

    Args:
        reader: Reads the passages.
        search: Finds them, such as `qa.retrieval.index.Index`.
        k: Passages that are read for a question.
        weight: How much a passage's score in the search counts; None for the reader's own, which
            `qa evaluate --index` fits.
        threshold: Leave questions unanswered whose null odds over all passages exceed it; None for
            the reader's own, if it has one; `math.inf` for never.

    Raises:
        UserError: An argument is out of range.
    """

    def __init__(
        self,
        reader: Reader,
        search: Search,
        k: int = PASSAGES,
        weight: float | None = None,
        threshold: float | None = None,
    ) -> None:
        check_passages(k, "k")
        require_places(reader)
        options = CollectionOptions(passage_weight=weight)
        self.reader = reader
        self.search = search
        self.k = k
        self.weight = first_given(
            options.passage_weight, reader.collection.passage_weight, PASSAGE_WEIGHT
        )
        self.threshold = first_given(
            threshold, reader.collection.open_threshold, reader.null_score_diff_threshold
        )

    def answer(self, question: str, *, top_k: int = 1) -> list[OpenAnswer]:
        """Return the best answers, best first.

        Args:
            question: What is asked.
            top_k: How many answers; fewer are returned if the passages hold fewer candidates.

        Returns:
            [] if the search finds nothing, or if the null odds exceed the threshold.
        """
        return self.answer_many([make_question(question)], top_k=top_k)[0]

    def answer_many(self, questions: Iterable[str], *, top_k: int = 1) -> list[list[OpenAnswer]]:
        """Return the best answers of each question; all their passages are read in batches."""
        return list(self.iterate_answers(questions, top_k=top_k))

    def iterate_answers(
        self, questions: Iterable[str], *, top_k: int = 1, coverage: Coverage | None = None
    ) -> Iterator[list[OpenAnswer]]:
        """Return an iterator over the best answers of each question, in blocks of windows.

        What is wrong with the arguments is raised at once. Behind the last answers each kind of
        thing that was missed in what was read is a `Notice`; or it is counted in `coverage`, under
        the questions' numbers from 0, if one is passed.
        """
        check_top_k(top_k, nfc=True)
        return self._iterate_answers(check_questions(questions), top_k, coverage)

    def _iterate_answers(
        self, questions: list[str], top_k: int, given: Coverage | None
    ) -> Iterator[list[OpenAnswer]]:
        options = self.reader.answerer.options
        coverage = given or self.reader.coverage()
        num_answers = max(top_k, options.n_best_size)
        sought = seek(self.search, questions, self.k)
        temperature = options.temperature or 1.0
        for each, found in read_passages(self.reader, sought, num_answers, coverage):
            answers = rank_open_answers(each.hits, found, self.weight, temperature)
            yield [] if is_left(open_null_odds(answers), self.threshold) else answers[:top_k]
        if given is None:
            coverage.give_notices()


def require_places(reader: Reader) -> None:
    """Raise UserError if a reader's answers need no place in what it reads."""
    require(
        reader.answerer.options.decoding != FREE,
        "answers from a collection have a place in a document, and those written freely need none;"
        " load the reader with decoding constrained",
    )


def check_questions(questions: Any) -> list[str]:
    """Return questions without blanks at their ends; UserError, naming the place, if unfit."""
    is_one = isinstance(questions, str)
    require(
        isinstance(questions, Iterable) and not isinstance(questions, str | bytes | Mapping),
        f"pass a list of questions, not {kind(questions)}" + "; put the one into a list" * is_one,
    )
    return [make_question(each, f"question {number}: ") for number, each in enumerate(questions)]


def check_passages(k: Any, name: str) -> None:
    """Raise UserError, beginning with `name`, unless `k` passages can be read."""
    require(is_whole(k), f"{name} must be a whole number, not {kind(k)}")
    require(k >= 1, f"{name} must be at least 1, not {k}")


def first_given(*values: float | None) -> Any:
    """Return the first value that is not None; None if all are."""
    return next((value for value in values if value is not None), None)
