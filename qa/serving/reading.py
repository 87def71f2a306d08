"""What the model thread does with a batch: questions in, answers out, and what was not read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from qa.answering.nbest import Answer
from qa.answering.reader import Reader
from qa.data.examples import Example

WARM_UP = Example(id="0", question="?", context="가 나 다 라 " * 300)
"""Longer than a window, so that the sizes of usual questions have been computed once."""


@dataclass(frozen=True)
class Asked:
    """A question with its context."""

    example: Example
    top_k: int  # answers that are wanted; at most the reader's n_best_size


@dataclass(frozen=True)
class Found:
    """What a reader found."""

    answers: list[Answer]  # best first; [] if the question is left unanswered
    question_was_cut: bool  # only its last tokens were read


def make_work(reader: Reader, nfc: bool) -> Callable[[list[Asked]], list[Found]]:
    """Return the function that answers a batch; see `Reader.answer` for `nfc`.

    Each question gets what `Reader.answer_many` answers it.
    """

    def work(batch: list[Asked]) -> list[Found]:
        coverage = reader.coverage()
        # Under their places in the batch, since ids tell which question was cut.
        examples = [replace(asked.example, id=str(i)) for i, asked in enumerate(batch)]
        top_k = max(asked.top_k for asked in batch)
        found = reader.iterate_answers(examples, top_k=top_k, nfc=nfc, coverage=coverage)
        answers = list(found)
        return [
            Found(each[: asked.top_k], example.id in coverage.cut)
            for asked, example, each in zip(batch, examples, answers, strict=True)
        ]

    return work


def warm_up(reader: Reader) -> None:
    """Answer a question alone and several together, so that nobody waits for the first use."""
    for count in (1, 8):
        reader.answer_many([WARM_UP] * count)
