"""How often an evaluation makes each kind of error: curves over a training. Q: questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qa.data.examples import Example
from qa.report.gains import percent
from qa.report.judged import gold_spans
from qa.report.kinds import KINDS, kind_of

if TYPE_CHECKING:  # it imports torch, which a report does without
    from qa.evaluation.evaluate import Evaluation

# An evaluation answers every question. What only answers that are written are, or gold answers that
# have no place in the context, which MRQA's data may have.
IMPOSSIBLE, WRITING = ("missing",), ("not_in_context", "gold_elsewhere")
ERRORS = tuple(
    name
    for name, kind in KINDS.items()
    if kind.group != "right" and name not in (*IMPOSSIBLE, *WRITING)
)
ELSEWHERE = "?"  # stands for a written text that is not in the context: only that is known of it


def error_shares(result: Evaluation, examples: Sequence[Example]) -> dict[str, float]:
    """Return the share of the questions with each kind of error, in %.

    Together with the exact match of the main score they are 100.

    Args:
        result: Of these questions.
        examples: (Q,) with gold answers.
    """
    threshold = float("inf") if result.threshold is None else result.threshold
    is_wrong = result.values[result.main_score][:, 0] == 0  # (Q,) bool
    counts: Counter[str] = Counter()
    for i in is_wrong.nonzero()[0].tolist():
        example, (start, end) = examples[i], result.spans[i].tolist()
        if result.null_odds[i] > threshold:
            start = end = 0
        text = example.context[start:end] if start >= 0 else ELSEWHERE
        span = (start, end) if text and start >= 0 else None
        has_answer = bool(example.gold_answers)
        golds = gold_spans(example)
        counts[kind_of(example.context, golds, text, span, False, has_answer)] += 1
    writes = result.outside_context is not None
    names = (*ERRORS, *(name for name in WRITING if writes or counts[name]))
    return {name: percent(counts[name], len(examples)) for name in names}
