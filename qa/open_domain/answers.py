"""From the candidates of several passages to the answers of a question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qa.answering.nbest import NOTHING_FOUND, Answer
from qa.retrieval.passage import Hit


@dataclass(frozen=True)
class OpenAnswer:
    """One candidate answer: `document's text[start:end] == text`, in characters."""

    text: str
    document: str  # its id in the collection
    title: str  # of the document, "" where it has none
    start: int
    end: int
    # The reader's score (see `qa.answering.nbest.Answer`), less the weighted distance of the
    # passage's score in the search from that of the first passage.
    score: float
    probability: float  # softmax over the candidates of all passages, of score / temperature
    passage: str  # the text that was read
    start_in_passage: int  # `passage[start_in_passage:end_in_passage] == text`
    end_in_passage: int


def rank_open_answers(
    hits: Sequence[Hit],
    found: Sequence[Sequence[Answer]],
    weight: float,
    temperature: float = 1.0,
) -> list[OpenAnswer]:
    """Return the candidates of all passages, best first.

    A text that two overlapping passages hold at the same place counts once, with its better score.
    The reader's probabilities are those within one passage and so no measure here.

    Args:
        hits: The passages, in the order of the search.
        found: The candidates of each passage.
        weight: How much scores of the search count.
        temperature: Scores are divided by it before they become probabilities.
    """
    ranked = sorted(
        ((answer.score + weight * gap, hit, answer) for hit, gap, answer in _pairs(hits, found)),
        key=lambda each: -each[0],  # stable: the better passage first
    )
    seen: dict[tuple[str, str], list[tuple[int, int]]] = {}
    kept = []
    for score, hit, answer in ranked:
        start, end = (hit.passage.start + place for place in (answer.start, answer.end))
        places = seen.setdefault((hit.passage.document, answer.text), [])
        if any(start < other_end and other < end for other, other_end in places):
            continue
        places.append((start, end))
        kept.append((score, hit.passage, answer, start, end))
    weights = [math.exp((score - kept[0][0]) / temperature) for score, *_ in kept]
    total = sum(weights)
    return [
        OpenAnswer(
            text=answer.text,
            document=passage.document,
            title=passage.title,
            start=start,
            end=end,
            score=score,
            probability=share / total,
            passage=passage.text,
            start_in_passage=answer.start,
            end_in_passage=answer.end,
        )
        for share, (score, passage, answer, start, end) in zip(weights, kept, strict=True)
    ]


def gaps(hits: Sequence[Hit]) -> list[float]:
    """Return by how much each passage's score in the search is below the best: 0 or less."""
    best = max((hit.score for hit in hits), default=0.0)
    return [hit.score - best for hit in hits]


def open_null_odds(answers: Sequence[OpenAnswer]) -> float:
    """Return by how much "no answer" scores above the best answer; below 0 if it scores lower."""
    return -answers[0].score if answers else NOTHING_FOUND


def _pairs(
    hits: Sequence[Hit], found: Sequence[Sequence[Answer]]
) -> list[tuple[Hit, float, Answer]]:
    """Return each candidate with its passage and that passage's gap."""
    return [
        (hit, gap, answer)
        for hit, gap, answers in zip(hits, gaps(hits), found, strict=True)
        for answer in answers
    ]
