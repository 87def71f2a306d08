"""How well a collection is answered from: what the search finds, and what is made of it.

Q: questions, K: passages that are read for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unicodedata import normalize

import numpy as np

from qa.answering.reader import Reader
from qa.data.examples import Example
from qa.data.windows.coverage import Coverage
from qa.engine.progress import progress_bar
from qa.metrics.official import score_question
from qa.open_domain.answers import gaps
from qa.open_domain.reading import Sought, read_passages
from qa.retrieval.passage import Passage, Search

DEPTHS = (1, 5, 20)  # of the recall that is shown
AROUND = 150  # characters on each side of an answer, by which its paragraph is looked for


@dataclass(frozen=True)
class Looked(Sought):
    """A question whose right passages are known."""

    example: Example
    is_right: list[bool]  # of the passages that were found, to the last of `DEPTHS`
    is_held: bool  # whether the collection has a right passage


@dataclass(frozen=True)
class Measured:
    """What was read, before passages are weighed. A passage without a candidate has score -inf."""

    ranks: np.ndarray  # (Q,) of the first right passage from 1; inf: not among those looked at
    is_held: np.ndarray  # (Q,) bool, whether the collection has a right passage
    scores: np.ndarray  # (Q, K) of the best candidate of each passage
    gaps: np.ndarray  # (Q, K) by how much the search puts a passage below the best one, 0 or less
    is_right: np.ndarray  # (Q, K) bool, whether it is a right passage
    values: np.ndarray  # (Q, K, 2) exact match and F1 of that candidate, 0 to 1
    texts: list[list[str]]  # (Q, K) of that candidate, "" without one

    def recall(self, depth: int) -> float:
        """Return the share of the questions whose collection has a right passage; in %."""
        found = self.ranks[self.is_held] <= depth
        return 100.0 * float(found.mean()) if len(found) else float("nan")

    def choose(self, weight: float | np.ndarray) -> Chosen:
        """Return what is answered under a weight, or under that of each question, (Q,)."""
        combined = self.scores + np.asarray(weight)[..., None] * self.gaps
        best = combined.argmax(axis=1)
        rows = np.arange(len(best))
        return Chosen(
            texts=[texts[i] for texts, i in zip(self.texts, best, strict=True)],
            values=self.values[rows, best],
            odds=-combined[rows, best],
            is_from_right=self.is_right[rows, best],
        )


@dataclass(frozen=True)
class Chosen:
    """The answers under one weight, or each question's own."""

    texts: list[str]
    values: np.ndarray  # (Q, 2) exact match and F1, 0 to 1
    odds: np.ndarray  # (Q,) null odds; inf where nothing was found
    is_from_right: np.ndarray  # (Q,) bool, whether it comes from a right passage


def measure(
    reader: Reader,
    search: Search,
    examples: Sequence[Example],
    k: int,
    score: str,
    coverage: Coverage,
    nfc: bool,
) -> Measured:
    """Ask a collection all questions.

    Args:
        reader: Reads.
        search: Searches the collection.
        examples: The questions, with gold answers.
        k: Passages that are read for each.
        score: Name of the official score.
        coverage: Counts what is missed.
        nfc: The gold answers are composed (Unicode NFC), so that answers must be.
    """
    num = len(examples)
    found = Measured(
        ranks=np.full(num, np.inf),
        is_held=np.zeros(num, dtype=bool),
        scores=np.full((num, k), -np.inf),
        gaps=np.zeros((num, k)),
        is_right=np.zeros((num, k), dtype=bool),
        values=np.zeros((num, k, 2)),
        texts=[[""] * k for _ in examples],
    )
    with progress_bar(num, unit="question") as bar:
        looked = look(search, examples, k)
        for row, (each, answers) in enumerate(read_passages(reader, looked, 1, coverage)):
            found.is_held[row] = each.is_held
            if any(each.is_right):
                found.ranks[row] = 1 + each.is_right.index(True)
            found.gaps[row, : len(answers)] = gaps(each.hits)
            found.is_right[row, : len(answers)] = each.is_right[: len(answers)]
            golds = each.example.gold_answers
            for column, candidates in enumerate(answers):
                for answer in candidates[:1]:
                    found.scores[row, column] = answer.score
                    text = normalize("NFC", answer.text) if nfc else answer.text
                    found.texts[row][column] = text
                    if golds:
                        found.values[row, column] = score_question(score, text, golds)
            bar.update()
    return found


def look(search: Search, examples: Sequence[Example], k: int) -> Iterator[Looked]:
    """Yield each question with what the search finds, and which of it is right."""
    for example in examples:
        hits = search.search(example.question, max(k, *DEPTHS))
        is_right = [is_right_passage(hit.passage, example) for hit in hits]
        is_held = any(is_right) or is_in_collection(search, example)
        yield Looked(example.question, hits[:k], example, is_right, is_held)


def is_right_passage(passage: Passage, example: Example) -> bool:
    """Return whether a passage is the question's paragraph, or the piece of it with the answer.

    It is if one of both texts holds the other, and the passage holds a gold answer, if there is
    one; blanks at the ends and the form of Unicode do not count. A passage of another paragraph is
    none, even if it answers the question.
    """
    text, context = (normalize("NFC", each).strip() for each in (passage.text, example.context))
    golds = [normalize("NFC", gold) for gold in example.gold_answers]
    is_of_context = text in context or context in text
    return is_of_context and (not golds or any(gold in text for gold in golds))


def is_in_collection(search: Search, example: Example) -> bool:
    """Return whether a collection has a right passage: its own words find it, if anything does."""
    start = example.answer_starts[0] if example.answer_starts else 0
    words = example.context[max(0, start - AROUND) : start + AROUND]
    return any(is_right_passage(hit.passage, example) for hit in search.search(words, max(DEPTHS)))
