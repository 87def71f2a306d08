"""What would help most: the exact match if a kind of error were mended.

A gain says more than a count: it stands beside the n-best ceiling, the part of it that is reached
by choosing better among the candidates which the reader found itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qa.report.judged import Judged
from qa.report.kinds import KINDS

FIRST = 5  # candidates that a second look, by a re-ranker or a person, would choose among


@dataclass(frozen=True)
class Gain:
    """One kind of answers, or several; shares and points are of all questions."""

    kinds: tuple[str, ...]
    count: int
    share: float  # in %
    exact_match: float  # in %, if all of these were right
    gain: float  # points above the exact match now; 0 for what is right
    reachable: float  # points of the gain that lie in the first candidates
    reachable_count: int


def kind_gains(judged: Sequence[Judged]) -> list[Gain]:
    """Return each kind that occurs: the right ones, then errors, the largest gain first."""
    found = [
        gain_of((kind,), judged) for kind in KINDS if any(each.kind == kind for each in judged)
    ]
    return sorted(found, key=lambda gain: -gain.gain if gain.gain else -float("inf"))


def group_gains(judged: Sequence[Judged]) -> dict[str, Gain]:
    """Return each group of several kinds of errors that occur, the largest gain first."""
    groups: dict[str, list[str]] = {}
    for gain in kind_gains(judged):
        if gain.gain:
            groups.setdefault(KINDS[gain.kinds[0]].group, []).extend(gain.kinds)
    gains = {group: gain_of(tuple(kinds), judged) for group, kinds in groups.items()}
    return dict(sorted(gains.items(), key=lambda item: -item[1].gain))


def gain_of(kinds: tuple[str, ...], judged: Sequence[Judged]) -> Gain:
    """Return what it is worth to mend these kinds."""
    chosen = [each for each in judged if each.kind in kinds]
    wrong = [each for each in chosen if not each.is_right]
    reachable = [each for each in wrong if is_reachable(each)]
    return Gain(
        kinds=kinds,
        count=len(chosen),
        share=percent(len(chosen), len(judged)),
        exact_match=exact_match(judged, lambda each: each.kind in kinds),
        gain=percent(len(wrong), len(judged)),
        reachable=percent(len(reachable), len(judged)),
        reachable_count=len(reachable),
    )


def ceiling(judged: Sequence[Judged]) -> float | None:
    """Return the exact match of the best of the first candidates; None if none are known."""
    if not any(each.candidates for each in judged):
        return None
    return exact_match(judged, is_reachable)


def exact_match(judged: Sequence[Judged], is_mended: Callable[[Judged], bool]) -> float:
    """Return the exact match, in %, if what `is_mended` names were right, too."""
    return percent(sum(each.is_right or is_mended(each) for each in judged), len(judged))


def is_reachable(each: Judged) -> bool:
    """Return whether a right text is among a question's first candidates."""
    return each.right_rank is not None and each.right_rank <= FIRST


def percent(part: float, whole: float) -> float:
    """Return a share in %; nan of nothing."""
    return 100.0 * part / whole if whole else float("nan")
