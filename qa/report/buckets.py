"""Where points are lost: questions in groups that the data fixes, so that runs can be compared."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qa.data.examples import Example
from qa.metrics.resample import bootstrap_interval
from qa.report.judged import Judged

NO_WORD, NO_ANSWER, ELSEWHERE = "none", "no answer", "not in the context"

# The first that is found counts: 몇 년 asks when, not how many. 왜 alone: 왜란 asks nothing.
QUESTION_WORDS = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "who": r"누구|누가|누굴|누군|\bwho(m|se)?\b",
        "when": r"언제|며칠|몇\s*(년|월|일|시|세기)(?!간|즌|\s*동안)|\bwhen\b"
        r"|\bwhat (year|month|day|date|century)\b",
        "where": r"어디|어느\s*(곳|나라|국가|도시|지역|지방)|\bwhere\b",
        "how many": r"몇|얼마|\bhow (many|much|long|old|far|often|tall|large|big|high|deep)\b",
        "why": r"(?<![가-힣])왜(?![가-힣])|\bwhy\b",
        "how": r"어떻게|\bhow\b",
        "what, which": r"무엇|무슨|무얼|뭐|뭔|뭘|어떤|어느|\bwhat\b|\bwhich\b",
    }.items()
}
FIFTHS = ("first fifth", "second fifth", "third fifth", "fourth fifth", "last fifth")


@dataclass(frozen=True)
class Bucket:
    """One group of questions; exact match in %, with its 95 % bootstrap interval."""

    name: str
    count: int
    exact_match: float
    low: float
    high: float
    lost: float  # points of the whole exact match that are lost in here


@dataclass(frozen=True)
class Division:
    """One way to part the questions of a data set."""

    title: str
    names: tuple[str, ...]
    name_of: Callable[[Example], str]


@lru_cache(maxsize=1 << 16)  # asked twice, for a question's group and for its tag
def question_word(question: str) -> str:
    """Return what a question asks for by its question word, Korean or English."""
    found = (name for name, pattern in QUESTION_WORDS.items() if pattern.search(question))
    return next(found, NO_WORD)


def size_names(limits: Sequence[int]) -> tuple[str, ...]:
    """Return the names of the ranges between limits, which are the last of each but one."""
    firsts = [1, *(limit + 1 for limit in limits)]
    names = [f"{first}–{last}" for first, last in zip(firsts, limits, strict=False)]
    return (*names, f"{firsts[-1]}+")


ANSWER_LIMITS, CONTEXT_LIMITS = (2, 4, 8, 16), (200, 400, 800, 1600)
ANSWER_LENGTHS, CONTEXT_LENGTHS = size_names(ANSWER_LIMITS), size_names(CONTEXT_LIMITS)


def answer_length(example: Example) -> str:
    """Return the range of the first gold answer's length in characters."""
    if not example.gold_answers:
        return NO_ANSWER
    answer = (example.answers or example.gold_answers)[0]
    return ANSWER_LENGTHS[bisect_left(ANSWER_LIMITS, len(answer))]


def context_length(example: Example) -> str:
    """Return the range of the context's length in characters."""
    return CONTEXT_LENGTHS[bisect_left(CONTEXT_LIMITS, len(example.context))]


def position(example: Example) -> str:
    """Return in which fifth of its context the first gold answer begins."""
    if not example.answers:
        return ELSEWHERE if example.gold_answers else NO_ANSWER
    return FIFTHS[5 * example.answer_starts[0] // len(example.context)]


DIVISIONS = {
    "word": Division(
        "question word", (*QUESTION_WORDS, NO_WORD), lambda e: question_word(e.question)
    ),
    "answer": Division("answer, characters", (*ANSWER_LENGTHS, NO_ANSWER), answer_length),
    "context": Division("context, characters", CONTEXT_LENGTHS, context_length),
    "position": Division(
        "place of the answer in the context", (*FIFTHS, ELSEWHERE, NO_ANSWER), position
    ),
}


def make_buckets(judged: Sequence[Judged], division: Division) -> list[Bucket]:
    """Return the groups that hold a question; what they lose adds up to 100 - exact match."""
    groups: dict[str, list[float]] = {name: [] for name in division.names}
    for each in judged:
        groups[division.name_of(each.example)].append(each.is_right)
    return [
        bucket_of(name, np.array(right, dtype=np.float64), len(judged))
        for name, right in groups.items()
        if right
    ]


def bucket_of(name: str, right: np.ndarray, total: int) -> Bucket:
    """Return the figures of one group.

    Args:
        name: Of the group.
        right: (G,) float64, 1 for each question of the group that is right, else 0.
        total: Number of the questions in all groups.
    """
    low, high = 100.0 * bootstrap_interval(right[:, None])[:, 0]
    lost = 100.0 * float((1 - right).sum()) / total
    return Bucket(name, len(right), 100.0 * float(right.mean()), float(low), float(high), lost)
