"""How much of a gold answer a prediction holds; both are normalised texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher


def overlap_f1(prediction: Sequence[str], gold: Sequence[str]) -> float:
    """F1 of two multisets; 0 without overlap, so also for empty against empty."""
    common = sum((Counter(prediction) & Counter(gold)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(prediction), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def character_f1(prediction: str, gold: str) -> float:
    """KorQuAD: F1 over characters, spaces left out."""
    return overlap_f1(prediction.replace(" ", ""), gold.replace(" ", ""))


def word_f1(prediction: str, gold: str) -> float:
    """SQuAD v1.1: F1 over words."""
    return overlap_f1(prediction.split(), gold.split())


def word_f1_or_both_empty(prediction: str, gold: str) -> float:
    """SQuAD v2.0: F1 over words; 1 if neither text has any."""
    if not prediction or not gold:
        return float(prediction == gold)
    return word_f1(prediction, gold)


def rouge_w(prediction: str, gold: str) -> float:
    """KLUE-MRC: F1 of the longest common contiguous substring, in characters with spaces.

    Against an empty gold answer 1 if the prediction is empty too. This is the matcher of the
    official script: in a gold answer of 200 characters and more it looks for no match that begins
    with a character that makes up over 1 % of it, so it can miss the longest.
    """
    if not prediction or not gold:
        return float(prediction == gold)
    longest = SequenceMatcher(None, prediction, gold).find_longest_match().size
    if longest == 0:
        return 0.0
    precision, recall = longest / len(prediction), longest / len(gold)
    return 2 * precision * recall / (precision + recall)
