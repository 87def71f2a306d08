"""The official scores that a report tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qa.data.examples import Example
from qa.engine.errors import require
from qa.evaluation.null_threshold import has_unanswerable, metrics_for
from qa.metrics import METRICS, Score


def report_scores(examples: Sequence[Example], asked: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the scores, first the one that decides what is right.

    That is the first one asked for; if there are questions without an answer, the first that knows
    such questions. UserError if none does.

    Args:
        examples: The questions.
        asked: Names of official scores; none for those of `qa evaluate`.
    """
    names = tuple(dict.fromkeys(asked or metrics_for(examples)))
    if not has_unanswerable(examples):
        return names
    knowing = [name for name in names if METRICS[name].knows_no_answer]
    require(
        knowing,
        f"{', '.join(names)}: knows no questions without an answer, which the data has; add"
        " --metric squad2 or klue-mrc",
    )
    return tuple(dict.fromkeys((knowing[0], *names)))


def score_rows(score: Score) -> list[dict[str, Any]]:
    """Return one score's measures with their intervals, in %."""
    official, values, intervals = METRICS[score.name], score.compute(), score.intervals()
    return [
        {
            "name": score.name,
            "score": official.title,
            "key": key,
            "value": value,
            "interval": intervals[key],
        }
        for key, value in values.items()
        if key in intervals
    ]
