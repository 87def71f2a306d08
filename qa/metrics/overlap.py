"""How much a prediction and a gold answer overlap, from 0 to 1; both are normalised texts."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher


def overlap_f1(prediction: Sequence[str], gold: Sequence[str]) -> float:
    """Return the F1 of two multisets; 0 without overlap, thus also if both are empty."""
    left: dict[str, int] = {}  # plain loops, since a Counter takes longer for few items
    for item in gold:
        left[item] = left.get(item, 0) + 1
    common = 0
    for item in prediction:
        if left.get(item):
            left[item] -= 1
            common += 1
    if common == 0:
        return 0.0
    precision, recall = common / len(prediction), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def character_f1(prediction: str, gold: str) -> float:
    """Return the F1 over characters without spaces, as KorQuAD does."""
    return overlap_f1(prediction.replace(" ", ""), gold.replace(" ", ""))


def word_f1(prediction: str, gold: str) -> float:
    """Return the F1 over words, as SQuAD v1.1 does."""
    return overlap_f1(prediction.split(), gold.split())


def word_f1_or_both_empty(prediction: str, gold: str) -> float:
    """Return the F1 over words, as SQuAD v2.0 does: 1 if both texts are empty."""
    if not prediction or not gold:
        return float(prediction == gold)
    return word_f1(prediction, gold)


def rouge_w(prediction: str, gold: str) -> float:
    """Return KLUE-MRC's F1 of the longest common contiguous substring, in characters with spaces.

    If both texts are empty, it is 1. The matcher is the official script's: in a gold answer of 200
    characters or more it ignores matches that begin with a character which makes up over 1 % of
    that answer, so it can miss the longest substring.
    """
    if not prediction or not gold:
        return float(prediction == gold)
    longest = SequenceMatcher(None, prediction, gold).find_longest_match().size
    if longest == 0:
        return 0.0
    precision, recall = longest / len(prediction), longest / len(gold)
    return 2 * precision * recall / (precision + recall)
