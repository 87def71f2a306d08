"""Answers to a stream of questions, block by block: memory holds only the blocks in work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias, overload

from qa.answering.answerer import Answerer
from qa.answering.blocks import Window, make_blocks, own_blocks
from qa.answering.nbest import Answer, in_original, is_left, null_odds
from qa.data.examples import Example
from qa.data.nfc import compose_example
from qa.data.windows.coverage import Coverage
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.data.windows.tokens import grouped_examples
from qa.engine.distributed import World

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Answered: TypeAlias = list[tuple[Example, list[Answer]]]
"""A block of questions, each with its answers, best first; [] if it is left unanswered."""


@dataclass(frozen=True)
class AnswerStream:
    """Answers the questions of a stream.

    Args:
        answerer: Runs the model.
        tokenizer: The model's own.
        windows: How contexts are cut.
        threshold: Null odds above which a question is left unanswered; None: never.
        top_k: Answers for each question.
        coverage: Counts what is missed in what is read.
        world: Processes that each answer their share of the same questions. The blocks of all come
            out in the main one, in order, and none in the others.
    """

    answerer: Answerer
    tokenizer: PreTrainedTokenizerFast
    windows: WindowOptions
    threshold: float | None
    top_k: int
    coverage: Coverage
    world: World

    def blocks(self, examples: Iterable[Example]) -> Iterator[Answered]:
        """Yield the answered questions in blocks; a stream that starts at a block yields the same.

        So an interrupted one can go on behind the last block, with the same batches and thus the
        same bits, on any number of processes.
        """
        return self._answered(grouped_examples(examples))

    def composed_blocks(self, examples: Iterable[Example]) -> Iterator[Answered]:
        """Do the same with the texts read in Unicode NFC; answers are those of the texts passed."""
        for group in grouped_examples(examples):
            composed = [compose_example(example) for example in group]
            found = list(chain.from_iterable(self._answered([composed])))
            if self.world.is_main:
                yield [
                    (example, in_original(answers, example.context))
                    for example, (_, answers) in zip(group, found, strict=True)
                ]

    def _answered(self, groups: Iterable[list[Example]]) -> Iterator[Answered]:
        """Yield the answered examples of these groups, which are tokenised together."""
        kept = _Kept()

        def windows() -> Iterator[Window]:
            for group in groups:
                first = len(kept)
                kept.extend(group)
                for window in iterate_windows(group, self.tokenizer, self.windows, self.coverage):
                    window["example_index"] += first
                    yield window

        n_best_size = max(self.top_k, self.answerer.options.n_best_size)
        blocks = own_blocks(make_blocks(windows()), self.world.rank, self.world.size)
        for own in self.answerer.answer_blocks(kept, blocks, n_best_size):
            for found in self.world.gather(own):
                if found.answers:
                    pairs = zip(kept[found.part], found.answers, strict=True)
                    yield [(example, self._given(answers)) for example, answers in pairs]
                    kept.forget(found.part.stop)
            if not self.world.is_main:
                kept.forget(own.part.stop)

    def _given(self, answers: list[Answer]) -> list[Answer]:
        """Return the answers that are given; [] if the question is left unanswered."""
        return [] if is_left(null_odds(answers), self.threshold) else answers[: self.top_k]


class _Kept(Sequence[Example]):
    """The examples in work: those behind which the stream is, are counted but forgotten."""

    def __init__(self) -> None:
        self._first = 0
        self._examples: list[Example] = []

    def extend(self, examples: Iterable[Example]) -> None:
        """Add examples behind the others."""
        self._examples.extend(examples)

    def forget(self, end: int) -> None:
        """Forget the examples before the index `end`."""
        if end > self._first:
            del self._examples[: end - self._first]
            self._first = end

    def __len__(self) -> int:
        return self._first + len(self._examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, int):
            return self._examples[index - self._first]
        if index.start == index.stop:  # of an empty block
            return []
        return self._examples[index.start - self._first : index.stop - self._first]
