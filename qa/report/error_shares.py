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

# An evaluation answers every question, with pieces of its context.
IMPOSSIBLE = ("not_in_context", "missing")
ERRORS = tuple(
    name for name, kind in KINDS.items() if kind.group != "right" and name not in IMPOSSIBLE
)


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
        text = example.context[start:end]
        span = (start, end) if text else None
        counts[kind_of(example.context, gold_spans(example), text, span, False)] += 1
    return {name: percent(counts[name], len(examples)) for name in ERRORS}
