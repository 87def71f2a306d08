"""Reading the passages that a search found, those of all questions as one stream of windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import TypeVar

from qa.answering.nbest import Answer
from qa.answering.reader import Reader
from qa.answering.streaming import AnswerStream
from qa.data.examples import Example
from qa.data.windows.coverage import Coverage
from qa.engine.distributed import SINGLE_PROCESS
from qa.retrieval.passage import Hit, Search


@dataclass(frozen=True)
class Sought:
    """What a search found for a question."""

    question: str
    hits: Sequence[Hit]  # to read, best first


S = TypeVar("S", bound=Sought)


def seek(search: Search, questions: Iterable[str], k: int) -> Iterator[Sought]:
    """Yield the `k` best passages of each question."""
    return (Sought(question, search.search(question, k)) for question in questions)


def read_passages(
    reader: Reader, sought: Iterable[S], num_answers: int, coverage: Coverage
) -> Iterator[tuple[S, list[list[Answer]]]]:
    """Yield each question with the candidates of each of its passages, best first.

    Text is read composed (Unicode NFC), places are those of the passages as they are. The reader's
    threshold does not hold: whether a question has an answer is seen over all of its passages.

    Args:
        reader: Reads.
        sought: Questions with the passages to read; taken while others are being read.
        num_answers: Candidates of each passage.
        coverage: Counts what is missed, under the questions' numbers from 0.
    """
    waiting: deque[S] = deque()

    def examples() -> Iterator[Example]:
        for number, each in enumerate(sought):
            waiting.append(each)
            for hit in each.hits:
                yield Example(str(number), each.question, hit.passage.text)

    stream = AnswerStream(
        reader.answerer,
        reader.tokenizer,
        reader.windows,
        threshold=None,
        top_k=num_answers,
        coverage=coverage,
        world=SINGLE_PROCESS,
    )
    answered = chain.from_iterable(stream.composed_blocks(examples()))
    for _, group in groupby(answered, key=lambda pair: pair[0].id):
        found = [answers for _, answers in group]
        while not waiting[0].hits:
            yield waiting.popleft(), []
        yield waiting.popleft(), found
    for each in waiting:  # behind the last that has passages
        yield each, []
