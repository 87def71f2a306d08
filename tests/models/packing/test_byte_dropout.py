"""Dropout from random bytes: its statistics, its arithmetic and its reproducibility."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from qa.models.packing.byte_dropout import (
    BYTE_VALUES,
    ByteDropout,
    byte_threshold,
    draw_signs,
    keep_scale,
    use_byte_dropout,
)

pytestmark = pytest.mark.usefixtures("one_thread")

DTYPES = [torch.float32, torch.bfloat16, torch.float64]
P = 0.1
SIGMAS = 5  # by chance beyond it once in 2 million draws; the seeds are fixed besides


def drop(x: torch.Tensor, p: float = P, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    dropped: torch.Tensor = ByteDropout(p).train()(x)
    return dropped


@pytest.mark.parametrize(
    ("p", "threshold"), [(0.001, 0), (0.1, 26), (0.25, 64), (0.5, 128), (0.999, 255), (1.0, 255)]
)
def test_probability_is_the_nearest_of_256_and_keeps_something(p: float, threshold: int) -> None:
    assert byte_threshold(p) == threshold
    assert keep_scale(p) == pytest.approx(1 / (1 - threshold / 256))


# Random bytes


def random_bytes(count: int, seed: int = 0) -> torch.Tensor:
    """The bytes behind the signs: a sign is a byte less the threshold."""
    torch.manual_seed(seed)
    return draw_signs(count, P, torch.float32) + byte_threshold(P)


def test_every_byte_value_is_equally_likely_at_each_of_the_8_places_of_a_word() -> None:
    """Chi square with 255 degrees of freedom; one bit that is always 0 makes it 100 times that."""
    values = random_bytes(8 * 2**17)
    assert (int(values.min()), int(values.max())) == (0, 255)
    places = values.view(2, -1, 4).permute(0, 2, 1).reshape(8, -1)  # (place, word)
    for place in places:
        expected = len(place) / BYTE_VALUES
        chi_square = ((torch.bincount(place, minlength=256) - expected) ** 2 / expected).sum()
        assert abs(float(chi_square) - 255) < SIGMAS * math.sqrt(2 * 255)


def test_that_check_fails_for_words_whose_highest_bit_is_never_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What torch draws for int64 by default."""
    full = torch.Tensor.random_
    monkeypatch.setattr(torch.Tensor, "random_", lambda self, *_: full(self))
    with pytest.raises(AssertionError):
        test_every_byte_value_is_equally_likely_at_each_of_the_8_places_of_a_word()


def test_all_64_bits_are_1_half_the_time() -> None:
    count = 2**16
    places = random_bytes(8 * count, seed=1).view(2, count, 4)
    for bit in range(8):
        shares = (places >> bit & 1).double().mean(1)  # (2, 4)
        assert float((shares - 0.5).abs().max()) < SIGMAS * math.sqrt(0.25 / count)


def test_neighbours_are_independent() -> None:
    """Neighbours in memory, in the words, and the two halves that come of the same words."""
    count = 2**19
    values = random_bytes(count, seed=2).double()
    for sequence in (values, (values < byte_threshold(P)).double()):
        centred = sequence - sequence.mean()
        for lag in (1, 2, 3, 4, 8, count // 2):
            correlation = (centred[lag:] * centred[:-lag]).mean() / centred.square().mean()
            assert abs(float(correlation)) < SIGMAS / math.sqrt(count - lag)


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float16])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1001])
def test_signs_are_as_many_and_as_wide_as_the_elements(count: int, dtype: torch.dtype) -> None:
    signs = draw_signs(count, P, dtype)
    assert signs.shape == (count,)
    assert signs.dtype.itemsize == dtype.itemsize
    assert not signs.dtype.is_floating_point


def test_signs_of_all_widths_are_the_same() -> None:
    drawn = []
    for dtype in DTYPES:
        torch.manual_seed(3)
        drawn.append(draw_signs(100, 0.5, dtype).tolist())
    assert drawn[0] == drawn[1] == drawn[2]


# Dropout


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.004, 0.1, 0.5, 0.9])
def test_share_and_mean(p: float, dtype: torch.dtype) -> None:
    count = 200_003
    out = drop(torch.ones(count, dtype=dtype), p)
    share = byte_threshold(p) / BYTE_VALUES
    sigma = math.sqrt(share * (1 - share) / count)
    assert abs(float((out == 0).double().mean()) - share) < SIGMAS * sigma
    rounding = torch.finfo(dtype).eps * keep_scale(p)
    assert abs(float(out.double().mean()) - 1) < SIGMAS * sigma * keep_scale(p) + rounding


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=30)
@given(shape=st.lists(st.integers(0, 9), max_size=3), p=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_dropped_are_0_and_kept_are_scaled_exactly(
    dtype: torch.dtype, shape: list[int], p: float, seed: int
) -> None:
    x = torch.randn(shape, dtype=dtype)
    before = x.clone()
    out = drop(x, p, seed)
    torch.manual_seed(seed)
    is_kept = (draw_signs(x.numel(), p, dtype) >= 0).view(x.shape)
    assert out.dtype == dtype
    assert torch.equal(out, torch.where(is_kept, x * keep_scale(p), 0.0))
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient_uses_the_same_mask(dtype: torch.dtype) -> None:
    x = torch.randn(13, 21, dtype=dtype, requires_grad=True)
    out = drop(x, 0.4)
    gradient = torch.randn(21, 13, dtype=dtype).t()  # not contiguous
    out.backward(gradient)
    assert 0 < int((out == 0).sum()) < out.numel()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.where(out != 0, gradient * keep_scale(0.4), 0.0))


def test_gradient_of_a_sum() -> None:
    """A gradient that is one number, seen everywhere."""
    x = torch.randn(50, requires_grad=True)
    out = drop(x, 0.5)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, (out != 0) * 2.0)


def test_gradcheck() -> None:
    x = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: drop(x, 0.3), x)


def test_input_that_is_not_contiguous() -> None:
    x = torch.randn(9, 16)
    assert torch.equal(drop(x.t(), 0.5), drop(x.t().contiguous(), 0.5))


def test_what_is_dropped_may_be_anything() -> None:
    out = drop(torch.full((1000,), float("inf")), 0.5)
    assert set(out.tolist()) == {0.0, float("inf")}  # inf * 0 would be nan


@pytest.mark.parametrize("dtype", DTYPES)
def test_identity_in_evaluation_and_without_dropout(dtype: torch.dtype) -> None:
    x = torch.randn(33, dtype=dtype)
    state = torch.get_rng_state()
    assert torch.equal(ByteDropout(0.5).eval()(x), x)
    assert torch.equal(ByteDropout(0.0).train()(x), x)
    assert torch.equal(torch.get_rng_state(), state)


def test_reproducible_from_a_seed_and_from_a_saved_state() -> None:
    x = torch.randn(1003)
    first = drop(x)
    state = torch.get_rng_state()
    second = ByteDropout(P)(x)
    assert torch.equal(drop(x), first)
    assert not torch.equal(second, first)
    assert not torch.equal(drop(x, seed=1), first)
    torch.set_rng_state(state)
    assert torch.equal(ByteDropout(P)(x), second)


# Models


def make_model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 4),
        nn.Dropout(0.25),
        nn.Sequential(nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.Dropout1d(0.5)),
    )


def test_every_ordinary_dropout_of_a_model_is_exchanged() -> None:
    model = make_model()
    names = set(model.state_dict())
    use_byte_dropout(model)
    kinds = [type(m) for m in model.modules() if not list(m.children())]
    assert kinds == [nn.Linear, ByteDropout, ByteDropout, nn.AlphaDropout, nn.Dropout1d]
    assert [m.p for m in model.modules() if isinstance(m, ByteDropout)] == [0.25, 0.5]
    assert set(model.state_dict()) == names
    again = copy.deepcopy(model)
    use_byte_dropout(again)
    assert [type(m) for m in again.modules() if not list(m.children())] == kinds


@pytest.mark.parametrize("training", [True, False])
def test_exchange_leaves_the_mode_as_it_was(training: bool) -> None:
    model = make_model().train(training)
    use_byte_dropout(model)
    assert {module.training for module in model.modules()} == {training}
