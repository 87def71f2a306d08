"""Attention within windows, against torch's own and against softmax written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from qa.models.packing.attention import register, segment_attention
from qa.models.packing.byte_dropout import draw_signs, keep_scale
from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.gpu_attention import attend_padded
from qa.models.packing.segments import ROUND_WIDTH, Scratch, Segments, round_up

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = st.lists(st.integers(1, 14), min_size=1, max_size=5)
HEADS, WIDTH, SCALING = 3, 4, 0.6
# A sum of at most 14 products of numbers of order 1, rounded in another order; gradients are two
# such sums behind each other.
BOUNDS: dict[torch.dtype, dict[str, Any]] = {
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    # Not 1e-12: the backward pass sums one of its terms in fp32, whatever the inputs.
    torch.float64: {"rtol": 1e-5, "atol": 1e-6},
}
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Attend = Callable[..., torch.Tensor]


class NotCausal(torch.nn.Module):
    is_causal = False


def make_segments(lengths: list[int]) -> Segments:
    width = max(lengths) + 1  # some padding behind the longest, too
    slots = [row * width + column for row, n in enumerate(lengths) for column in range(n)]
    return Segments(torch.tensor(slots), (len(lengths), width), Scratch(), attend_on_cpu, lengths)


def make_inputs(lengths: list[int], dtype: torch.dtype, seed: int = 0) -> Inputs:
    """Query, key and value, (H, N, D), as an encoder makes them: slices of (N, H, D)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, sum(lengths), HEADS, WIDTH)
    stacked = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    query, key, value = (x.transpose(0, 1).detach().requires_grad_() for x in stacked)
    return query, key, value


def window_by_window(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Segments,
    scaling: float,
    dropout: float,
) -> torch.Tensor:
    """Oracle without dropout: torch's own attention on each window alone."""
    assert dropout == 0
    pieces = (torch.split(x, list(segments.lengths or ()), 1) for x in (query, key, value))
    outs = [
        F.scaled_dot_product_attention(q, k, v, scale=scaling)
        for q, k, v in zip(*pieces, strict=True)
    ]
    return torch.cat(outs, 1).transpose(0, 1)


def written_out(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    segments: Segments,
    scaling: float,
    dropout: float,
) -> torch.Tensor:
    """Oracle with dropout: plain operations, and masks drawn for each window in turn."""
    outs = []
    start = 0
    for length in segments.lengths or ():
        q, k, v = (x[:, start : start + length] for x in (query, key, value))
        start += length
        probabilities = (q @ k.transpose(1, 2) * scaling).softmax(-1)  # (H, t, t)
        width = round_up(length, ROUND_WIDTH)  # masks are drawn for this width
        signs = draw_signs(len(q) * width**2, dropout, probabilities.dtype)
        is_kept = (signs >= 0).view(len(q), width, width)[:, :length, :length]
        outs.append((probabilities * is_kept * keep_scale(dropout)) @ v)
    return torch.cat(outs, 1).transpose(0, 1)


def run(
    attend: Attend, lengths: list[int], dtype: torch.dtype, dropout: float = 0.0, seed: int = 0
) -> list[torch.Tensor]:
    """The output and the gradients of query, key and value."""
    inputs = make_inputs(lengths, dtype, seed)
    torch.manual_seed(seed)
    out = attend(*inputs, make_segments(lengths), SCALING, dropout)
    assert out.shape == (sum(lengths), HEADS, WIDTH)
    generator = torch.Generator().manual_seed(seed + 1)
    gradient = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(dtype)
    return [out.detach(), *torch.autograd.grad(out, inputs, gradient)]


def assert_close(actual: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, **BOUNDS[a.dtype])


@pytest.mark.parametrize("dtype", list(BOUNDS))
@pytest.mark.parametrize("attend", [attend_on_cpu, attend_padded])
@settings(deadline=None, max_examples=25)
@given(lengths=LENGTHS, seed=st.integers(0, 1000))
def test_equals_torch_window_by_window(
    attend: Attend, dtype: torch.dtype, lengths: list[int], seed: int
) -> None:
    """Outputs and gradients."""
    expected = run(window_by_window, lengths, dtype, seed=seed)
    assert_close(run(attend, lengths, dtype, seed=seed), expected)


@settings(deadline=None, max_examples=25)
@given(lengths=LENGTHS, seed=st.integers(0, 1000))
def test_padded_equals_packed(lengths: list[int], seed: int) -> None:
    expected = run(attend_on_cpu, lengths, torch.float32, seed=seed)
    assert_close(run(attend_padded, lengths, torch.float32, seed=seed), expected)


@pytest.mark.parametrize("dtype", list(BOUNDS))
@settings(deadline=None, max_examples=25)
@given(lengths=LENGTHS, seed=st.integers(0, 1000), dropout=st.sampled_from([0.002, 0.1, 0.5, 0.99]))
def test_dropout_equals_what_is_written_out(
    dtype: torch.dtype, lengths: list[int], seed: int, dropout: float
) -> None:
    """0.002 becomes 1/256, and 0.99 leaves 3 of 256, so that some rows lose everything."""
    expected = run(written_out, lengths, dtype, dropout, seed)
    actual = run(attend_on_cpu, lengths, dtype, dropout, seed)
    for a, b in zip(actual, expected, strict=True):
        scaled = {**BOUNDS[dtype], "atol": BOUNDS[dtype]["atol"] * keep_scale(dropout)}
        torch.testing.assert_close(a, b, **scaled)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("lengths", [[1], [4], [3, 1, 5]])
def test_gradcheck(lengths: list[int], dropout: float) -> None:
    segments = make_segments(lengths)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(7)  # one mask for all of gradcheck's calls
        return attend_on_cpu(query, key, value, segments, SCALING, dropout)

    assert torch.autograd.gradcheck(attend, make_inputs(lengths, torch.float64))


def test_dropout_draws_anew_and_is_reproducible() -> None:
    segments = make_segments([9, 4])
    inputs = make_inputs([9, 4], torch.float32)
    torch.manual_seed(1)
    first = attend_on_cpu(*inputs, segments, SCALING, 0.2)
    state = torch.get_rng_state()
    second = attend_on_cpu(*inputs, segments, SCALING, 0.2)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(attend_on_cpu(*inputs, segments, SCALING, 0.2), first)
    torch.set_rng_state(state)
    assert torch.equal(attend_on_cpu(*inputs, segments, SCALING, 0.2), second)


def test_mean_over_masks_is_the_attention_without_dropout() -> None:
    lengths = [6, 3]
    inputs = make_inputs(lengths, torch.float32)
    segments = make_segments(lengths)
    torch.manual_seed(0)
    with torch.no_grad():
        plain = attend_on_cpu(*inputs, segments, SCALING, 0.0)
        outs = torch.stack([attend_on_cpu(*inputs, segments, SCALING, 0.2) for _ in range(2000)])
    error = outs.std(0) / 2000**0.5
    assert float(((outs.mean(0) - plain).abs() / error).max()) < 5


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_second_backward_pass_gives_the_same(dropout: float) -> None:
    """The backward pass works in place, but not on what was saved."""
    inputs = make_inputs([5, 2], torch.float32)
    out = attend_on_cpu(*inputs, make_segments([5, 2]), SCALING, dropout)
    gradient = torch.randn_like(out)
    before = gradient.clone()
    first = torch.autograd.grad(out, inputs, gradient, retain_graph=True)
    second = torch.autograd.grad(out, inputs, gradient)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(gradient, before)


@pytest.mark.parametrize("attend", [attend_on_cpu, attend_padded])
def test_nothing_crosses_from_window_to_window(attend: Attend) -> None:
    """Not even nan: the other windows' outputs and gradients are the same bit for bit."""
    lengths = [4, 6, 3]
    expected = run(attend, lengths, torch.float32)

    def spoilt(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any) -> Any:
        spoil = torch.zeros_like(query)
        spoil[:, 4:10] = float("nan")
        return attend(query + spoil, key - spoil, value + spoil, *rest)

    actual = run(spoilt, lengths, torch.float32)
    for a, b in zip(actual, expected, strict=True):
        a, b = (x if x.shape[0] == sum(lengths) else x.transpose(0, 1) for x in (a, b))
        assert torch.equal(a[:4], b[:4])
        assert torch.equal(a[10:], b[10:])
        assert not torch.equal(a[4:10], b[4:10])


def test_large_scores_do_not_overflow() -> None:
    query, key, value = (x.detach() for x in make_inputs([5, 3], torch.float32))
    segments = make_segments([5, 3])
    out = attend_on_cpu(query * 1e4, key * 1e4, value, segments, SCALING, 0.0)
    torch.testing.assert_close(
        out, window_by_window(query * 1e4, key * 1e4, value, segments, SCALING, 0.0)
    )


# As transformers calls it


@pytest.mark.parametrize("scaling", [None, 0.3])
def test_called_with_segments(scaling: float | None) -> None:
    lengths = [5, 2, 7]
    segments = make_segments(lengths)
    query, key, value = make_inputs(lengths, torch.float32)
    out, weights = segment_attention(
        torch.nn.Module(), query[None], key[None], value[None], None, scaling, segments=segments
    )
    assert weights is None
    expected = window_by_window(query, key, value, segments, scaling or WIDTH**-0.5, 0.0)
    torch.testing.assert_close(out, expected[None], **BOUNDS[torch.float32])


def test_called_without_segments_is_transformers_own() -> None:
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    query, key, value = torch.randn(3, 2, HEADS, 7, WIDTH)
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[1, ..., 4:] = False
    module = NotCausal()
    out, _ = segment_attention(module, query, key, value, mask, 0.3, dropout=0.0)
    expected, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3, dropout=0.0)
    assert torch.equal(out, expected)
    register()
    register()  # any number of readers
    assert AttentionInterface()["qa_segments"] is segment_attention
