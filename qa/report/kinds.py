"""What became of a question: right, or which kind of error. Spans are in characters.

A kind says what would mend the error: another boundary, another place, another threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
"""First character, and the one behind the last."""


@dataclass(frozen=True)
class Kind:
    """One kind, as the page tells it."""

    title: str
    explanation: str
    group: str  # kinds of one group are mended by the same means


KINDS: dict[str, Kind] = {
    "right": Kind("right", "equal to a gold answer once both are normalised", "right"),
    "other_occurrence": Kind(
        "right text, other occurrence",
        "the same text stands at the gold place too; the score cannot see the difference",
        "right",
    ),
    "too_wide": Kind(
        "too wide",
        "holds the gold answer and more words, as 대북 유화정책 for 유화정책",
        "boundary",
    ),
    "too_narrow": Kind(
        "too narrow", "leaves out words of the gold answer, as 닉슨 for 닉슨 대통령", "boundary"
    ),
    "ending_kept": Kind(
        "ending kept",
        "keeps the rest of the last word: a particle, a unit, as 40명 for 40",
        "boundary",
    ),
    "word_cut": Kind(
        "word cut short", "ends or begins inside a word of the gold answer", "boundary"
    ),
    "shifted": Kind("shifted", "overlaps the gold answer, neither holds the other", "boundary"),
    "other_wording": Kind(
        "same place, other wording", "the gold text is not what stands at its place", "boundary"
    ),
    "similar_elsewhere": Kind(
        "similar text elsewhere", "at another place; one text holds the other", "place"
    ),
    "wrong_place": Kind("wrong place", "another place and another text", "place"),
    "not_in_context": Kind("not in the context", "a text that stands nowhere in it", "place"),
    "gold_elsewhere": Kind(
        "another text than the answer", "no gold answer stands in the context", "place"
    ),
    "left_unanswered": Kind("left unanswered", "there is an answer", "no answer"),
    "answered_in_vain": Kind("answered in vain", "there is no answer", "no answer"),
    "missing": Kind("no prediction", "the file says nothing about the question", "missing"),
}
"""Every kind by name, the right ones first. Examples are predicted texts and gold answers."""


def kind_of(
    context: str,
    golds: Sequence[Span],
    prediction: str | None,
    span: Span | None,
    is_right: bool,
    has_answer: bool = False,
) -> str:
    """Return what became of a question, a key of `KINDS`.

    Of several gold answers the one counts that the prediction overlaps most, else the nearest.

    Args:
        context: The text that was read.
        golds: Where the gold answers stand; none if there is no answer, or if it stands nowhere.
        prediction: The predicted text; blank if the question was left unanswered, None if nothing
            is known about it.
        span: Where the prediction stands; None if it stands nowhere in the context.
        is_right: Whether the score takes the prediction for right.
        has_answer: There is one, though it may stand nowhere.
    """
    if is_right:
        is_elsewhere = span is not None and golds and not any(overlap(span, g) for g in golds)
        return "other_occurrence" if is_elsewhere else "right"
    if prediction is None:
        return "missing"
    if not prediction.strip():
        return "left_unanswered"
    if not golds:
        return "gold_elsewhere" if has_answer else "answered_in_vain"
    if span is None:
        return "not_in_context"
    gold = nearest(golds, span)
    if overlap(span, gold):
        return boundary_kind(context, gold, span)
    texts = [_plain(context[start:end]) for start, end in (span, gold)]
    is_similar = all(texts) and (texts[0] in texts[1] or texts[1] in texts[0])
    return "similar_elsewhere" if is_similar else "wrong_place"


def boundary_kind(context: str, gold: Span, span: Span) -> str:
    """Return how a prediction that overlaps the gold answer differs from it."""
    if span == gold:
        return "other_wording"
    if span[0] <= gold[0] and gold[1] <= span[1]:
        rest = context[gold[1] : span[1]]
        keeps_ending = span[0] == gold[0] and rest[:1].isalnum() and not any(map(str.isspace, rest))
        return "ending_kept" if keeps_ending else "too_wide"
    if gold[0] <= span[0] and span[1] <= gold[1]:
        cuts = [place for place, end in zip(span, gold, strict=True) if place != end]
        is_cut = any(context[cut - 1].isalnum() and context[cut].isalnum() for cut in cuts)
        return "word_cut" if is_cut else "too_narrow"
    return "shifted"


def nearest(golds: Sequence[Span], span: Span) -> Span:
    """Return the gold answer that overlaps a span most, of equals the nearest in start and end."""
    return min(golds, key=lambda gold: (-overlap(gold, span), away(gold, span)))


def overlap(first: Span, second: Span) -> int:
    """Return how many characters two spans share."""
    return max(0, min(first[1], second[1]) - max(first[0], second[0]))


def away(first: Span, second: Span) -> int:
    """Return by how many characters two spans differ in start and end."""
    return abs(first[0] - second[0]) + abs(first[1] - second[1])


def _plain(text: str) -> str:
    """Return a text without blanks and case."""
    return "".join(text.split()).casefold()
