"""BM25 written out from its formula, to compare searches with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

K1, B = 1.2, 0.75


def bm25(
    passages: Mapping[int, Sequence[str]], tokens: Sequence[str], steps: bool = False
) -> dict[int, float]:
    """Return the scores of the passages that have any of the tokens, with Lucene's idf.

    Args:
        passages: Their tokens by key.
        tokens: The question's; one that stands twice counts twice.
        steps: Round lengths down to those that fit into a byte, as tantivy and Lucene do.
    """
    lengths = {key: len(each) for key, each in passages.items()}
    mean = sum(lengths.values()) / max(1, len(lengths))
    scores: dict[int, float] = {}
    for token in tokens:
        counts = {key: each.count(token) for key, each in passages.items() if token in each}
        odds = (len(passages) - len(counts) + 0.5) / (len(counts) + 0.5)
        for key, count in counts.items():
            length = rounded(lengths[key]) if steps else lengths[key]
            share = count * (K1 + 1) / (count + K1 * (1 - B + B * length / mean))
            scores[key] = scores.get(key, 0.0) + math.log(1 + odds) * share
    return scores


def rounded(length: int) -> int:
    """Return the largest length up to this one that has four leading bits above 24."""
    if length < 40:
        return length
    extra = length - 24
    shift = extra.bit_length() - 4
    return 24 + (extra >> shift << shift)
