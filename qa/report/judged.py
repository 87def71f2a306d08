"""Each prediction beside its gold answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qa.data.examples import Example
from qa.evaluation.texts import score_texts
from qa.metrics import METRICS, Score
from qa.outputs.nbest_file import Candidate
from qa.report.kinds import Span, away, kind_of
from qa.report.predicted import Predicted


@dataclass(frozen=True)
class Judged:
    """One question, what was predicted, and what became of it."""

    example: Example
    golds: tuple[Span, ...]
    prediction: str | None  # "": left unanswered; None: nothing was predicted
    span: Span | None  # None: the prediction stands nowhere in the context
    is_right: bool
    overlap: float  # of the score's own kind, mostly F1; 0 to 1
    kind: str
    candidates: Sequence[Candidate]  # best first; none if only texts are known
    right_rank: int | None  # of the first candidate that the score takes for right, from 1

    @property
    def is_answered(self) -> bool:
        """Whether there is a prediction, and it is not blank."""
        return bool(self.prediction and self.prediction.strip())


def judge(
    predicted: Predicted, examples: Sequence[Example], metric: str
) -> tuple[list[Judged], Score]:
    """Judge the questions that count under one official score, and score all of them.

    Args:
        predicted: The predictions.
        examples: The questions, with gold answers.
        metric: The official score, a key of `METRICS`.
    """
    score = score_texts(metric, predicted.texts, examples)
    judged = [
        judge_question(example, predicted, metric, bool(exact_match), overlap)
        for example, (exact_match, overlap) in zip(examples, score.values.tolist(), strict=True)
        if exact_match == exact_match  # nan: the score leaves the question out
    ]
    return judged, score


def judge_question(
    example: Example, predicted: Predicted, metric: str, is_right: bool, overlap: float
) -> Judged:
    """Judge one question, whose score is known."""
    golds = gold_spans(example)
    prediction = predicted.texts.get(example.id)
    candidates = predicted.candidates.get(example.id, [])
    span = place_of(prediction, example.context, golds, candidates)
    has_answer = bool(example.gold_answers)
    kind = kind_of(example.context, golds, prediction, span, is_right, has_answer)
    is_first = is_right and candidates and candidates[0].text == prediction
    rank = 1 if is_first else right_rank(example, candidates, metric)
    return Judged(example, golds, prediction, span, is_right, overlap, kind, candidates, rank)


def gold_spans(example: Example) -> tuple[Span, ...]:
    """Return where the gold answers of a question stand, each place once."""
    answers = zip(example.answer_starts, example.answers, strict=True)
    return tuple(dict.fromkeys((start, start + len(text)) for start, text in answers))


def place_of(
    text: str | None, context: str, golds: Sequence[Span], candidates: Sequence[Candidate]
) -> Span | None:
    """Return where a prediction stands; None if nowhere.

    A reader that tells candidates tells the place. Of any other text the occurrence counts that is
    nearest to a gold answer, so that nothing is called wrong that may be right.
    """
    if not text or not text.strip():
        return None
    first = candidates[0] if candidates else None
    if first and first.text == text and context[first.start : first.end] == text:
        return first.start, first.end
    starts, start = [], context.find(text)
    while start >= 0:
        starts.append(start)
        start = context.find(text, start + 1)
    spans = [(start, start + len(text)) for start in starts]
    return min(spans, key=lambda span: min((away(span, g) for g in golds), default=0), default=None)


def right_rank(example: Example, candidates: Sequence[Candidate], metric: str) -> int | None:
    """Return the rank of the first candidate that equals a gold answer, from 1; None if none."""
    official = METRICS[metric]
    golds = official.golds([official.normalize(gold) for gold in example.gold_answers])
    for rank, answer in enumerate(candidates, start=1):
        if official.normalize(answer.text) in golds:
            return rank
    return None
