"""Scores as lines of text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from qa.metrics.compare import Difference
from qa.metrics.official import METRICS

Intervals = Mapping[str, Mapping[str, tuple[float, float]]]

_HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_WORD_SCORES = ("squad1", "squad2", "mrqa")


def score_table(
    scores: Mapping[str, Mapping[str, float]], intervals: Intervals | None = None
) -> str:
    """Return a line for each score under its official name, in %, with its intervals if given."""
    rows = []
    for name, values in scores.items():
        official, found = METRICS[name], (intervals or {}).get(name, {})
        for prefix, title in (("", official.title), ("HasAns_", "HasAns"), ("NoAns_", "NoAns")):
            keys = [prefix + key for key in official.keys if prefix + key in values]
            if keys:
                cells = [
                    _cell(key.removeprefix(prefix), values[key], found.get(key)) for key in keys
                ]
                count = f"   of {values[f'{prefix}total']}" if f"{prefix}total" in values else ""
                rows.append(f"{title:<12} " + "   ".join(cells) + count)
        best = [key for key in values if f"{key}_thresh" in values]
        if best:
            cells = [f"{key} {values[key]:.2f} at {values[f'{key}_thresh']:.4g}" for key in best]
            rows.append(f"{'thresholds':<12} " + "   ".join(cells))
    return "\n".join(rows)


def difference_table(differences: Mapping[str, Mapping[str, Difference]]) -> str:
    """Return a line for each score: differences in points, their intervals and p-values."""
    return "\n".join(
        f"{METRICS[name].title:<12} "
        + "   ".join(
            f"{key} {d.difference:+.2f} [{d.low:+.2f}, {d.high:+.2f}] p {d.p_value:.4f}"
            for key, d in measures.items()
        )
        for name, measures in differences.items()
    )


def ranking_note(names: Sequence[str], questions: Iterable[str]) -> str | None:
    """Return a line of warning if Korean data is scored by words; None if it is not."""
    by_words = [name for name in names if name in _WORD_SCORES]
    if not by_words:
        return None
    korean = [_HANGUL.search(question) is not None for question in questions]
    if sum(korean) * 2 <= len(korean):
        return None
    return (
        f"note: {' and '.join(by_words)}: whole words are counted, particles included; on Korean"
        " this ranks readers differently from the Korean scores"
    )


def _cell(key: str, value: float, interval: tuple[float, float] | None) -> str:
    """Return one measure as text, in %."""
    text = f"{key} {value:6.2f}"
    return text if interval is None else f"{text} [{interval[0]:.2f}, {interval[1]:.2f}]"
