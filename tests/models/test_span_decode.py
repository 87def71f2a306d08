"""n-best decoding against all spans of characters, compared one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.models.span_decode import Offsets, Spans, best_spans

Span = tuple[int, int, int, int]  # first token, last token, characters dropped at either end
fuzz = settings(max_examples=500, deadline=None, derandomize=True)


@dataclass
class Case:
    """What `best_spans` takes; (B, T) each, trims (B, T, 2, K) and pairs (B, T, P) or None."""

    start: torch.Tensor
    end: torch.Tensor
    offsets: Offsets
    n_best: int
    longest: int
    trims: torch.Tensor | None = None
    tolerance: float = 0.0  # of scores; 0 if all their sums are exact in fp32
    pairs: torch.Tensor | None = None

    def decode(self) -> Spans:
        heads = self.trims, self.pairs
        return best_spans(self.start, self.end, self.offsets, self.n_best, self.longest, *heads)


def side_by_side(num_characters: torch.Tensor) -> Offsets:
    """Tokens that cover the given numbers of characters, (B, T), none of them shared."""
    ends = num_characters.cumsum(1)
    return Offsets(ends - num_characters, ends, 0)


def with_reach(starts: torch.Tensor, ends: torch.Tensor) -> Offsets:
    """Any tokens, with the farthest two that share a character, found by comparing all."""
    places = torch.arange(starts.shape[1])
    begin = torch.maximum(starts.unsqueeze(2), starts.unsqueeze(1))
    shares = begin < torch.minimum(ends.unsqueeze(2), ends.unsqueeze(1))  # (B, T, T)
    return Offsets(starts, ends, int(((places.unsqueeze(1) - places) * shares).max()))


def overlapping(generator: torch.Generator, num_characters: torch.Tensor, step: int) -> Offsets:
    """Tokens of given lengths that start up to `step` characters apart; like bytes for step 1."""
    shape = num_characters.shape
    starts = torch.randint(0, step + 1, shape, generator=generator).cumsum(1)
    ends = (starts + num_characters.clamp(min=1)).cummax(1).values
    # Those that cover nothing may stand anywhere.
    anywhere = torch.randint(-1, 9, shape, generator=generator)
    covers = num_characters > 0
    return with_reach(torch.where(covers, starts, anywhere), torch.where(covers, ends, anywhere))


@st.composite
def cases(draw: st.DrawFn, with_trims: bool, with_pairs: bool = False) -> Case:
    """Random logits; those in eighths add up exactly and tie often. Some are -inf or nan."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 7)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    is_exact = draw(st.booleans())

    def rounded(x: torch.Tensor) -> torch.Tensor:
        return (x * 8).round() / 8 if is_exact else x

    def chance(p: float, *size: int) -> torch.Tensor:
        return torch.rand(size, generator=generator) < p

    start, end = rounded(
        torch.randn(2, *shape, generator=generator) * draw(st.sampled_from([1, 5]))
    )
    num_characters = torch.randint(1, draw(st.sampled_from([2, 3, 7])), shape, generator=generator)
    num_characters *= chance(draw(st.sampled_from([0.0, 0.3, 0.8, 1.0])), *shape)
    step = draw(st.sampled_from([None, 0, 1, 3]))
    offsets = side_by_side(num_characters)
    if step is not None:
        offsets = overlapping(generator, num_characters, step)
    trims = None
    if with_trims:
        choices = draw(st.integers(1, 4))
        size = (*shape, 2, choices)
        # Not normalised, so that they tie as often as the logits do.
        trims = -rounded(torch.rand(size, generator=generator) * draw(st.sampled_from([1, 9])))
        # As the head has it: whoever drops all of a token's characters has probability 0.
        choice = torch.arange(choices)
        is_left = choice < (offsets.ends - offsets.starts).clamp(min=1).unsqueeze(2)
        trims = trims.masked_fill(~is_left.unsqueeze(2), -math.inf)
    pairs = None
    if with_pairs:  # up to more tokens than the window has
        pairs = rounded(torch.randn(*shape, draw(st.integers(1, 9)), generator=generator) * 3)
        pairs[chance(draw(st.sampled_from([0.0, 0.3])), *pairs.shape)] = -math.inf
    damage = draw(st.sampled_from([0.0, 0.0, 0.2]))
    for value in (-math.inf, math.nan):
        for logits in (start, end):
            logits[chance(damage, *shape)] = value
        if trims is not None:  # nan, like a softmax, takes all choices
            whole = chance(damage / 2, *shape, 2)
            trims[whole] = value
            if value == -math.inf:
                trims[chance(damage, *trims.shape)] = value
    n_best = draw(st.one_of(st.integers(1, 12), st.sampled_from([40, 2000])))
    longest = draw(st.integers(1, 9))
    return Case(start, end, offsets, n_best, longest, trims, 0.0 if is_exact else 1e-5, pairs)


def all_spans(case: Case, window: int) -> Iterator[tuple[Span, float]]:
    """Every span of a window's characters, if the model can say it, with its score.

    It stands for the first token that covers its first character and the last that covers its last.
    """
    trims = torch.zeros(case.start.shape[1], 2, 1) if case.trims is None else case.trims[window]
    starts, ends = case.offsets.starts[window].tolist(), case.offsets.ends[window].tolist()
    start, end = case.start[window].tolist(), case.end[window].tolist()
    front, back = trims[:, 0].tolist(), trims[:, 1].tolist()
    covering = [
        [token for token, (a, b) in enumerate(zip(starts, ends, strict=True)) if a <= place < b]
        for place in range(max(ends))
    ]
    for begin, stop in itertools.combinations(range(max(ends) + 1), 2):
        if not covering[begin] or not covering[stop - 1]:
            continue
        first, last = covering[begin][0], covering[stop - 1][-1]
        dropped, cut = begin - starts[first], ends[last] - stop
        if last - first < case.longest and max(dropped, cut) < trims.shape[2]:
            score = start[first] + end[last] + front[first][dropped] + back[last][cut]
            if case.pairs is not None and last - first < case.pairs.shape[2]:
                score += float(case.pairs[window, first, last - first])
            if score > -math.inf:  # false for nan
                yield (first, last, dropped, cut), score


def rows(spans: Spans, window: int) -> list[tuple[float, Span]]:
    """The found (score, span) of a window."""
    scores, *columns = (matrix[window].tolist() for matrix in spans)
    return list(zip(scores, zip(*columns, strict=True), strict=True))


def assert_best_of_all(case: Case, spans: Spans) -> None:
    """The best scores, each of a span that has it, none twice; then nothing but -inf."""
    for window in range(case.start.shape[0]):
        possible = dict(all_spans(case, window))
        expected = sorted(possible.values(), reverse=True)[: case.n_best]
        found = rows(spans, window)
        assert len(found) <= case.n_best
        best, rest = found[: len(expected)], found[len(expected) :]
        assert [score for score, _ in best] == pytest.approx(expected, abs=case.tolerance, rel=0)
        assert [score for score, _ in rest] == [-math.inf] * len(rest)
        assert len({span for _, span in best}) == len(best)
        for score, span in best:
            assert possible[span] == pytest.approx(score, abs=case.tolerance, rel=0)


@given(case=cases(with_trims=False))
@fuzz
def test_best_spans_are_the_best_of_all(case: Case) -> None:
    assert_best_of_all(case, case.decode())


@given(case=cases(with_trims=True))
@fuzz
def test_best_spans_with_trims_are_the_best_of_all(case: Case) -> None:
    assert_best_of_all(case, case.decode())


@given(case=cases(with_trims=False, with_pairs=True))
@fuzz
def test_best_spans_with_pairs_are_the_best_of_all(case: Case) -> None:
    assert_best_of_all(case, case.decode())


@given(case=cases(with_trims=True, with_pairs=True))
@fuzz
def test_best_spans_with_trims_and_pairs_are_the_best_of_all(case: Case) -> None:
    assert_best_of_all(case, case.decode())


@given(case=cases(with_trims=False), choices=st.integers(1, 4))
@fuzz
def test_trims_that_are_surely_0_are_whole_tokens(case: Case, choices: int) -> None:
    """They also give exactly what the oracle gives without trims."""
    whole = case.decode()
    assert not whole.start_trims.any()
    assert not whole.end_trims.any()
    trims = torch.full((*case.start.shape, 2, choices), -math.inf)
    trims[..., 0] = 0
    found = replace(case, trims=trims).decode()
    assert_best_of_all(case, found)
    if choices == 1:
        assert all(torch.equal(a, b) for a, b in zip(whole, found, strict=True))


@pytest.mark.parametrize("n_best", [1, 3, 6, 20])
def test_no_span_is_found_twice_if_there_are_fewer_than_wanted(n_best: int) -> None:
    """3 tokens, 2 long, and the last one's partner would stand behind the window."""
    start, end = torch.zeros(2, 1, 3)
    case = Case(start, end, side_by_side(torch.ones(1, 3).long()), n_best, 2)
    found = [span for score, span in rows(case.decode(), 0) if score > -math.inf]
    assert len(found) == len(set(found)) == min(n_best, 5)


def test_hand_worked() -> None:
    start = torch.tensor([[9.0, 1.0, 3.0, 0.0]])
    end = torch.tensor([[9.0, 0.0, 1.0, 2.0]])
    offsets = side_by_side(torch.tensor([[0, 1, 1, 1]]))
    spans = best_spans(start, end, offsets, n_best_size=8, max_answer_length=2)
    assert spans.scores.tolist()[0][:5] == [5.0, 4.0, 2.0, 2.0, 1.0]
    assert spans.scores.tolist()[0][5:] == [-math.inf] * 3
    best = list(zip(spans.starts[0].tolist(), spans.ends[0].tolist(), strict=True))[:5]
    assert best[:2] == [(2, 3), (2, 2)]
    assert set(best[2:4]) == {(1, 2), (3, 3)}
    assert best[4] == (1, 1)


def test_hand_worked_with_trims() -> None:
    """Tokens of 2 and 3 characters; one dropped at the front and two at the end is best."""
    impossible = -math.inf
    trims = torch.tensor(
        [
            [
                [[-4.0, 0.0, impossible], [-3.0, -1.0, impossible]],
                [[-7.0, -2.0, -9.0], [-6.0, -8.0, 0.0]],
            ]
        ]
    )
    zeros, offsets = torch.zeros(1, 2), side_by_side(torch.tensor([[2, 3]]))
    assert rows(best_spans(zeros, zeros, offsets, 5, 2, trims), 0) == [
        (0.0, (0, 1, 1, 2)),
        (-3.0, (0, 0, 1, 0)),  # of 2 characters, (1, 1) would leave none
        (-4.0, (0, 1, 0, 2)),
        (-5.0, (0, 0, 0, 1)),
        (-6.0, (0, 1, 1, 0)),
    ]


def test_an_answer_inside_one_token_keeps_a_character() -> None:
    """All trims are equally good, and each that leaves one of the 4 characters comes once."""
    zeros, trims = torch.zeros(1, 1), torch.zeros(1, 1, 2, 4)
    spans = best_spans(zeros, zeros, side_by_side(torch.tensor([[4]])), 50, 3, trims)
    found = [span for score, span in rows(spans, 0) if score > -math.inf]
    assert sorted(found) == [(0, 0, i, j) for i in range(4) for j in range(4 - i)]


def test_nothing_allowed_gives_no_span() -> None:
    zeros = torch.zeros(2, 5)
    offsets = side_by_side(zeros.long())
    spans = best_spans(zeros, zeros, offsets, n_best_size=3, max_answer_length=2)
    assert torch.equal(spans.scores, torch.full((2, 3), -math.inf))


def test_low_precision_logits_are_added_in_fp32() -> None:
    """In bf16 256 + 1 is 256, so that the two spans would tie."""
    start = torch.tensor([[256.0, 256.0]], dtype=torch.bfloat16)
    end = torch.tensor([[0.0, 1.0]], dtype=torch.bfloat16)
    offsets = side_by_side(torch.ones(1, 2, dtype=torch.long))
    spans = best_spans(start, end, offsets, n_best_size=4, max_answer_length=1)
    assert spans.scores.tolist()[0][:2] == [257.0, 256.0]
    assert spans.scores.dtype == torch.float32


def test_hand_worked_with_bytes() -> None:
    """Three tokens of character 0, then two of characters 1 and 2, of which 1 is in both."""
    offsets = with_reach(torch.tensor([[0, 0, 0, 1, 1]]), torch.tensor([[1, 1, 1, 2, 3]]))
    assert offsets.reach == 2
    zeros = torch.zeros(1, 5)
    whole = rows(best_spans(zeros, zeros, offsets, 9, 5), 0)
    # Only 0 may begin and only 2 and 4 may end; character 2 alone would need a trim.
    assert sorted(span for score, span in whole if score == 0) == [
        (0, 2, 0, 0),
        (0, 4, 0, 0),
        (3, 4, 0, 0),
    ]
    trims = torch.zeros(1, 5, 2, 2)
    trims[:, :4, :, 1] = -math.inf  # these have no character to spare
    every = rows(best_spans(zeros, zeros, offsets, 9, 5, trims), 0)
    assert sorted(span for score, span in every if score == 0) == [
        (0, 2, 0, 0),
        (0, 4, 0, 0),
        (0, 4, 0, 1),
        (3, 4, 0, 0),
        (3, 4, 0, 1),
        (4, 4, 1, 0),
    ]


def test_trims_that_two_tokens_of_the_same_characters_cannot_both_have() -> None:
    """Both like to drop two of the three; a third token is worse, but better than what is left.

    The best of all must not be lost to a pair that looks better than any of its spans is.
    """
    offsets = with_reach(torch.tensor([[0, 0, 3]]), torch.tensor([[3, 3, 4]]))
    never = -math.inf
    liked, whole = [-9.0, -9.0, 0.0], [-4.0, never, never]
    trims = torch.tensor([[[liked, liked], [liked, liked], [whole, whole]]])
    start, end = torch.tensor([[0.0, 0.0, never], [0.0, 0.0, 1.0]]).unsqueeze(1)
    for n_best in (1, 2, 9):
        best, *_ = rows(best_spans(start, end, offsets, n_best, 3, trims), 0)
        assert best == (-3.0, (0, 2, 2, 0))


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("choices", [None, 1, 3])
def test_windows_do_not_mix(choices: int | None, shares: bool) -> None:
    """A window in a batch has the spans that it has alone."""
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 6, 11, generator=generator)
    characters = torch.randint(0, 5, (6, 11), generator=generator)
    offsets = overlapping(generator, characters, 1) if shares else side_by_side(characters)
    trims = None if choices is None else -torch.rand(6, 11, 2, choices, generator=generator)
    together = best_spans(start, end, offsets, 7, 4, trims)
    for i in range(6):
        one = slice(i, i + 1)
        own = None if trims is None else trims[one]
        own_offsets = Offsets(offsets.starts[one], offsets.ends[one], offsets.reach)
        alone = best_spans(start[one], end[one], own_offsets, 7, 4, own)
        assert all(torch.equal(a[0], b[i]) for a, b in zip(alone, together, strict=True))
