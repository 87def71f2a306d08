"""Official scores from their definitions, with intervals and a paired test; no model needed.

`official.py` has the definitions, `normalize.py` and `html_text.py` what they remove, `overlap.py`
what they count, `score.py` the sums over questions, `no_answer.py` the thresholds of SQuAD 2.0,
`resample.py` the statistics.
"""

from __future__ import annotations

from qa.metrics.normalize import (
    normalize_klue,
    normalize_korquad,
    normalize_korquad2,
    normalize_squad,
)
from qa.metrics.official import (
    DEFAULT_METRICS,
    METRICS,
    OfficialScore,
    korquad_exact_match,
    korquad_f1,
    score_question,
)
from qa.metrics.overlap import overlap_f1
from qa.metrics.score import Score, score_predictions

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "OfficialScore",
    "Score",
    "korquad_exact_match",
    "korquad_f1",
    "normalize_klue",
    "normalize_korquad",
    "normalize_korquad2",
    "normalize_squad",
    "overlap_f1",
    "score_predictions",
    "score_question",
]
