"""What the model thread does with a batch: questions in, answers out, and what was not read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qa.answering.nbest import Answer
from qa.answering.reader import Reader
from qa.data.examples import Example
from qa.data.windows.coverage import Coverage
from qa.open_domain.answers import OpenAnswer
from qa.open_domain.reader import OpenReader

WARM_UP = Example(id="0", question="?", context="가 나 다 라 " * 300)
"""Longer than a window, so that the sizes of usual questions have been computed once."""


@dataclass(frozen=True)
class Asked:
    """A question with its context, or to the collection."""

    example: Example  # of context "" if the collection is asked
    top_k: int  # answers that are wanted; at most the reader's n_best_size


@dataclass(frozen=True)
class Found:
    """What a reader found."""

    # Best first; [] if the question is left unanswered.
    answers: list[Answer] | list[OpenAnswer]
    question_was_cut: bool  # only its last tokens were read


def make_work(
    reader: Reader, nfc: bool, collection: OpenReader | None = None
) -> Callable[[list[Asked], Callable[[], None]], list[Found]]:
    """Return the function that answers a batch, and calls another before each that the model reads.

    Each question gets what `Reader.answer_many` answers it, or `OpenReader.answer_many`.

    Args:
        reader: Reads the contexts that come with questions.
        nfc: See `Reader.answer`.
        collection: Answers the questions that come without one, with the same reader.
    """

    def work(batch: list[Asked], check: Callable[[], None]) -> list[Found]:
        with_context = [asked for asked in batch if asked.example.context]
        without = [asked for asked in batch if not asked.example.context]
        with reader.answerer.checking(check):
            found = {True: iter(read(with_context)), False: iter(look_up(without))}
        return [next(found[bool(asked.example.context)]) for asked in batch]

    def read(batch: list[Asked]) -> list[Found]:
        coverage = reader.coverage()
        # Under their places in the batch, since ids tell which question was cut.
        examples = [replace(asked.example, id=str(i)) for i, asked in enumerate(batch)]
        answers = reader.iterate_answers(examples, top_k=most(batch), nfc=nfc, coverage=coverage)
        return as_wanted(batch, list(answers), coverage)

    def look_up(batch: list[Asked]) -> list[Found]:
        if collection is None or not batch:
            return []
        coverage = reader.coverage()
        questions = [asked.example.question for asked in batch]
        answers = collection.iterate_answers(questions, top_k=most(batch), coverage=coverage)
        return as_wanted(batch, list(answers), coverage)

    return work


def most(batch: Sequence[Asked]) -> int:
    """Return how many answers are wanted of some question."""
    return max((asked.top_k for asked in batch), default=1)


def as_wanted(
    batch: Sequence[Asked],
    answers: Sequence[list[Answer] | list[OpenAnswer]],
    coverage: Coverage,
) -> list[Found]:
    """Return as many answers of each question as are wanted.

    `coverage`: what was missed, under the places of the questions in the batch.
    """
    return [
        Found(each[: asked.top_k], str(i) in coverage.cut)
        for i, (asked, each) in enumerate(zip(batch, answers, strict=True))
    ]


def warm_up(reader: Reader, collection: OpenReader | None = None) -> None:
    """Answer a question alone and several together, so that nobody waits for the first use.

    And ask the collection, if there is one, which loads its encoder and its analyser: UserError if
    one of them is not there.
    """
    for count in (1, 8):
        reader.answer_many([WARM_UP] * count)
    if collection is not None:
        collection.answer("가나?")
