"""What windows, tokens and options miss of questions and answers, counted in one place for all.

Training, the doctor, `qa evaluate`, `qa predict` and `Reader` say what is counted here, in the same
words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qa.data.examples import Example
from qa.data.nfc import is_decomposed
from qa.data.windows.cut import Windows
from qa.data.windows.label import bare_span
from qa.engine.errors import first_few, notice

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from qa.data.windows.options import WindowOptions


class Finding(NamedTuple):
    """Questions with which something is lost."""

    what: str  # follows their number
    ids: list[str]
    mend: str  # what helps, or ""


@dataclass
class Coverage:
    """Counts what is missed, as windows come by: `add` takes them, `findings` says what it was.

    The answer of a question is its first one, which training labels; a question counts once.

    Args:
        tokenizer: The one that the windows are made with.
        options: How they are cut.
        max_answer_length: Tokens of the longest answer that decoding gives.
    """

    tokenizer: PreTrainedTokenizerFast
    options: WindowOptions
    max_answer_length: int
    longest_answer: int = 0  # tokens, of the answers that a window holds
    # Ids in the order of the questions; a dict, since training may repeat a question.
    unreached: dict[str, None] = field(default_factory=dict)
    too_long: dict[str, None] = field(default_factory=dict)
    unreadable: dict[str, None] = field(default_factory=dict)
    cut: dict[str, None] = field(default_factory=dict)
    decomposed: dict[str, None] = field(default_factory=dict)

    def add(self, examples: Sequence[Example], windows: Windows) -> None:
        """Count the questions of these windows, of which none has windows elsewhere.

        `examples` are those that the windows' `example_index` counts in.
        """
        values = windows.values
        index, has_answer = values["example_index"], values["has_answer"]
        labelled = np.flatnonzero(has_answer)
        reached, first = np.unique(index[labelled], return_index=True)
        rows = labelled[first]  # a window with the answer for each question that has one
        lengths = values["end_position"][rows] - values["start_position"][rows] + 1
        self.longest_answer = max(self.longest_answer, int(lengths.max(initial=0)))
        self.too_long |= ids_of(examples, reached[lengths > self.max_answer_length])
        self.cut |= ids_of(examples, np.unique(index[values["question_was_cut"]]))
        present = np.unique(index)
        unlabelled = [i for i in np.setdiff1d(present, reached).tolist() if examples[i].answers]
        lost = [i for i in unlabelled if not holds_other_answer(examples[i], windows, index == i)]
        uncovered = [i for i in lost if not is_covered(examples[i], windows, index == i)]
        self.unreached |= ids_of(examples, sorted({*lost} - {*uncovered}))
        read = [
            self._is_read(examples[i], windows, row) for i, row in zip(reached, rows, strict=True)
        ]
        unread = [*reached[~np.array(read, dtype=bool)].tolist(), *uncovered]
        self.unreadable |= ids_of(examples, sorted(unread))
        is_composed = {c: not is_decomposed(c) for c in {examples[i].context for i in present}}
        self.decomposed |= ids_of(
            examples,
            [
                i
                for i in present
                if not is_composed[examples[i].context] or is_decomposed(examples[i].question)
            ],
        )

    def _is_read(self, example: Example, windows: Windows, row: int) -> bool:
        """Return whether known tokens cover all of the answer that is in the window `row`."""
        begin = windows.bounds[row]
        first, last = (int(windows.values[f"{end}_position"][row]) for end in ("start", "end"))
        ids = windows.tokens["input_ids"][begin + first : begin + last + 1]
        if (ids == self.tokenizer.unk_token_id).any():
            return False
        spans = zip(*(of[first : last + 1].tolist() for of in offsets(windows, row)), strict=True)
        covered, end_of_answer = bare_span(example.answers[0], example.answer_starts[0])
        for start, end in spans:
            if start < end:
                if example.context[covered:start].strip():
                    return False
                covered = max(covered, end)
        return not example.context[covered:end_of_answer].strip()

    def findings(self) -> list[Finding]:
        """Return what is counted, also where nothing was found."""
        longest, room = self.max_answer_length, self.options.max_question_length
        counted = (
            (
                "answers that fit into no window",
                self.unreached,
                "a larger window_overlap holds longer ones",
            ),
            (
                f"answers longer than max_answer_length {longest}, which can never be given",
                self.too_long,
                f"max_answer_length {self.longest_answer} holds all",
            ),
            ("answers with characters that no token covers or knows", self.unreadable, ""),
            (f"questions cut to their last {room} tokens (max_question_length)", self.cut, ""),
            (
                "questions in decomposed Hangul (NFD), or whose context is",
                self.decomposed,
                "--nfc (in Python nfc=True) composes it",
            ),
        )
        return [Finding(what, list(ids), mend) for what, ids, mend in counted]

    def lines(self) -> list[str]:
        """Return a line for each finding that there is: number, what, first ids, what helps."""
        return [
            f"{len(ids):,} {what} ({first_few(ids)})" + (f"; {mend}" if mend else "")
            for what, ids, mend in self.findings()
            if ids
        ]

    def give_notices(self) -> None:
        """Give each line as a `Notice`."""
        for line in self.lines():
            notice(line)


def ids_of(examples: Sequence[Example], indices: Iterable[int]) -> dict[str, None]:
    """Return the ids of the examples at these indices."""
    return {examples[i].id: None for i in indices}


def holds_other_answer(example: Example, windows: Windows, rows: np.ndarray) -> bool:
    """Return whether one of these windows holds an answer behind the first; `rows`: (W,) bool."""
    answers = list(zip(example.answers[1:], example.answer_starts[1:], strict=True))
    return any(
        holds(starts, ends, *bare_span(*answer))
        for starts, ends in (offsets(windows, row) for row in np.flatnonzero(rows) if answers)
        for answer in answers
    )


def is_covered(example: Example, windows: Windows, rows: np.ndarray) -> bool:
    """Return whether a token in one of these windows covers any of the first answer."""
    answer = bare_span(example.answers[0], example.answer_starts[0])
    return any(len(touching(*offsets(windows, row), *answer)) for row in np.flatnonzero(rows))


def offsets(windows: Windows, row: int | np.integer[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first character that each token of the window `row` covers, and their ends."""
    part = slice(windows.bounds[row], windows.bounds[row + 1])
    return windows.tokens["offset_starts"][part], windows.tokens["offset_ends"][part]


def touching(starts: np.ndarray, ends: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return the tokens that cover any of the characters from `start` to `end`; see `holds`."""
    return np.flatnonzero((starts < ends) & (starts < end) & (ends > start))


def holds(starts: np.ndarray, ends: np.ndarray, start: int, end: int) -> bool:
    """Return whether a window holds all tokens of the answer at these characters.

    An answer that begins before the window's first token, or ends behind its last one, is cut.

    Args:
        starts: (T,) first character that each token covers, -1 for a token that is not context.
        ends: (T,) end of these characters.
        start: The answer's first character.
        end: The end of the answer.
    """
    tokens = touching(starts, ends, start, end)
    if not len(tokens):
        return False
    inside = np.flatnonzero(starts >= 0)
    begins = tokens[0] > inside[0] or starts[tokens[0]] <= start
    return bool(begins and (tokens[-1] < inside[-1] or ends[tokens[-1]] >= end))
