"""n-best decoding against all pairs, compared one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.models.span_decode import best_spans


@dataclass
class Case:
    """Logits and a mask, (B, T) each, and the two limits."""

    start: torch.Tensor
    end: torch.Tensor
    allowed: torch.Tensor
    n_best: int
    longest: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Random logits; rounded ones tie often."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 9)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    start, end = torch.randn(2, *shape, generator=generator) * 5
    if draw(st.booleans()):
        start, end = start.round(), end.round()
    allowed = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    return Case(start, end, allowed, draw(st.integers(1, 100)), draw(st.integers(1, 12)))


def all_spans(case: Case, window: int) -> dict[tuple[int, int], float]:
    """Every span of a window that may be an answer, with its score in fp32."""
    num_tokens = case.start.shape[1]
    return {
        (first, last): float(case.start[window, first] + case.end[window, last])
        for first in range(num_tokens)
        for last in range(first, min(first + case.longest, num_tokens))
        if case.allowed[window, first] and case.allowed[window, last]
    }


@given(case=cases())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_best_spans_are_the_best_of_all(case: Case) -> None:
    spans = best_spans(case.start, case.end, case.allowed, case.n_best, case.longest)
    for window in range(case.start.shape[0]):
        possible = all_spans(case, window)
        expected = sorted(possible.values(), reverse=True)[: case.n_best]
        scores = spans.scores[window].tolist()
        assert scores[: len(expected)] == expected
        assert all(score == -math.inf for score in scores[len(expected) :])
        pairs = list(zip(spans.starts[window].tolist(), spans.ends[window].tolist(), strict=True))[
            : len(expected)
        ]
        assert len(set(pairs)) == len(pairs)
        assert [possible[pair] for pair in pairs] == expected


def test_hand_worked() -> None:
    start = torch.tensor([[9.0, 1.0, 3.0, 0.0]])
    end = torch.tensor([[9.0, 0.0, 1.0, 2.0]])
    allowed = torch.tensor([[False, True, True, True]])
    spans = best_spans(start, end, allowed, n_best_size=8, max_answer_length=2)
    assert spans.scores.tolist()[0][:5] == [5.0, 4.0, 2.0, 2.0, 1.0]
    assert spans.scores.tolist()[0][5:] == [-math.inf] * 3
    best = list(zip(spans.starts[0].tolist(), spans.ends[0].tolist(), strict=True))[:5]
    assert best[:2] == [(2, 3), (2, 2)]
    assert set(best[2:4]) == {(1, 2), (3, 3)}
    assert best[4] == (1, 1)


def test_nothing_allowed_gives_no_span() -> None:
    zeros = torch.zeros(2, 5)
    spans = best_spans(zeros, zeros, zeros.bool(), n_best_size=3, max_answer_length=2)
    assert torch.equal(spans.scores, torch.full((2, 3), -math.inf))


def test_fewer_pairs_than_n_best() -> None:
    """3 tokens, 2 long: 3 + 2 spans, of which a window has no more however many are wanted."""
    zeros = torch.zeros(1, 3)
    spans = best_spans(zeros, zeros, zeros == 0, n_best_size=50, max_answer_length=2)
    assert torch.isfinite(spans.scores).sum() == 5


def test_low_precision_logits_are_added_in_fp32() -> None:
    """In bf16 256 + 1 is 256, so that the two spans would tie."""
    start = torch.tensor([[256.0, 256.0]], dtype=torch.bfloat16)
    end = torch.tensor([[0.0, 1.0]], dtype=torch.bfloat16)
    allowed = torch.ones(1, 2, dtype=torch.bool)
    spans = best_spans(start, end, allowed, n_best_size=4, max_answer_length=1)
    assert spans.scores.tolist()[0][:2] == [257.0, 256.0]
    assert spans.scores.dtype == torch.float32


def test_windows_do_not_mix() -> None:
    """Each window of a batch gets what it gets alone."""
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 6, 11, generator=generator)
    allowed = torch.rand(6, 11, generator=generator) < 0.7
    together = best_spans(start, end, allowed, 7, 4)
    for i in range(6):
        alone = best_spans(start[i : i + 1], end[i : i + 1], allowed[i : i + 1], 7, 4)
        assert all(torch.equal(a[0], b[i]) for a, b in zip(alone, together, strict=True))
