"""The loss against torch's cross-entropy, window by window, in fp64.

R-Drop's loss against two passes made one after the other, and textbook divergences.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Categorical, kl_divergence
from torch.nn import functional as F

from qa.data.batches.collate import Collator
from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.models.loss import (
    IGNORE_POSITION,
    divergence,
    r_drop_loss,
    span_loss,
    window_loss,
)
from qa.models.model_io import SpanScores, model_inputs
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = [9, 6, 1, 9]
CONTEXT = "솔뫼산은 높이가 812미터이고, 봉우리는 셋이며, 그 아래에 한 마을이 있다. " * 2


def make_batch(width: int) -> dict[str, torch.Tensor]:
    """Four windows of different lengths in rows of `width`, -inf behind each."""
    generator = torch.Generator().manual_seed(1)
    start, end = torch.randn(2, 4, 9, generator=generator) * 3
    padded = torch.full((2, 4, width), float("-inf"))
    for i, length in enumerate(LENGTHS):
        padded[0][i, :length], padded[1][i, :length] = start[i, :length], end[i, :length]
    return {
        "start_logits": padded[0],
        "end_logits": padded[1],
        "start_positions": torch.tensor([0, 2, 0, 8]),
        "end_positions": torch.tensor([0, 5, 0, 8]),
    }


def window_losses(batch: dict[str, torch.Tensor]) -> list[float]:
    """Oracle: the mean of the two cross-entropies over the window's own tokens, in fp64."""
    losses = []
    for i, length in enumerate(LENGTHS):
        parts = [
            F.cross_entropy(
                batch[f"{side}_logits"][i, :length].double(), batch[f"{side}_positions"][i]
            )
            for side in ("start", "end")
        ]
        losses.append(float(sum(parts)) / 2)
    return losses


@pytest.mark.parametrize("width", [9, 16, 33])
def test_loss_is_the_sum_over_windows_whatever_the_padding(width: int) -> None:
    batch = make_batch(width)
    assert float(span_loss(**batch)) == pytest.approx(sum(window_losses(batch)), rel=1e-6)


def test_window_of_one_token_costs_nothing() -> None:
    assert window_losses(make_batch(9))[2] == 0


def test_ignored_windows_do_not_count() -> None:
    batch = make_batch(12)
    expected = window_losses(batch)
    for i in (1, 3):
        batch["start_positions"][i] = batch["end_positions"][i] = IGNORE_POSITION
    assert float(span_loss(**batch)) == pytest.approx(expected[0] + expected[2], rel=1e-6)


def test_only_ignored_windows_cost_0() -> None:
    batch = make_batch(12)
    batch["start_positions"][:] = batch["end_positions"][:] = IGNORE_POSITION
    assert float(span_loss(**batch)) == 0


def test_twice_the_windows_cost_twice_as_much() -> None:
    batch = make_batch(9)
    doubled = {name: torch.cat((value, value)) for name, value in batch.items()}
    assert float(span_loss(**doubled)) == pytest.approx(2 * float(span_loss(**batch)), rel=1e-6)


def test_padding_gets_no_gradient_and_each_window_its_own() -> None:
    """The derivative of the loss by a logit is (softmax - one-hot) / 2, and 0 on padding."""
    batch = make_batch(16)
    batch["start_logits"].requires_grad_()
    span_loss(**batch).backward()
    gradient = batch["start_logits"].grad
    assert gradient is not None
    is_padding = batch["start_logits"].isinf()
    assert torch.equal(gradient[is_padding], torch.zeros(64 - sum(LENGTHS)))
    for i, length in enumerate(LENGTHS):
        expected = batch["start_logits"][i, :length].detach().double().softmax(0)
        expected[batch["start_positions"][i]] -= 1
        torch.testing.assert_close(gradient[i, :length].double(), expected / 2)


def test_low_precision_logits_are_summed_in_fp32() -> None:
    batch = make_batch(9)
    for name in ("start_logits", "end_logits"):
        batch[name] = batch[name].to(torch.bfloat16)
    loss = span_loss(**batch)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(sum(window_losses(batch)), rel=1e-6)


# R-Drop


@pytest.fixture
def windows(tokenizer: Any) -> list[Any]:
    example = Example("0", "높이는?", CONTEXT, ("812미터",), (CONTEXT.index("812"),))
    found = list(iterate_windows([example], tokenizer, WindowOptions(40, 8, 12)))
    assert len(found) > 1
    return found


@pytest.fixture
def once(windows: list[Any]) -> dict[str, Any]:
    return Collator(40)(windows)


@pytest.fixture
def twice(windows: list[Any]) -> dict[str, Any]:
    return Collator(40, round_total=lambda number: number + 5, passes=2)(windows)


def test_divergence_is_the_mean_of_both_kl_divergences() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 2, 3, 6)  # pass, side, windows, tokens
    lengths = [6, 4, 1]
    for row, length in enumerate(lengths):
        logits[:, :, row, length:] = float("-inf")
    expected = 0.0
    for side in range(2):
        for row, length in enumerate(lengths):
            p, q = (Categorical(logits=logits[i, side, row, :length]) for i in range(2))
            expected += float(kl_divergence(p, q) + kl_divergence(q, p)) / 4
    found = divergence(*(SpanScores(sides[0], sides[1], None) for sides in logits))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_without_dropout_it_is_the_ordinary_loss(encoder_dir: Path, once: Any, twice: Any) -> None:
    torch.manual_seed(0)
    reader = SpanReader.from_pretrained(
        str(encoder_dir), 0.0, 0.0, boundaries=True, pair_width=5
    ).train()
    expected = window_loss(reader(**model_inputs(once)), once)
    found = r_drop_loss(reader, twice, 3.0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_two_passes_differ_by_their_dropout_alone(encoder_dir: Path, twice: Any) -> None:
    """The doubled batch's halves are two passes: the loss of each and their distance add up."""
    torch.manual_seed(0)
    reader = SpanReader.from_pretrained(
        str(encoder_dir), 0.0, 0.3, boundaries=True, pair_width=5
    ).train()
    torch.manual_seed(1)
    loss = r_drop_loss(reader, twice, 2.0)
    torch.manual_seed(1)
    both = reader(**model_inputs(twice))
    count = twice["num_items"]
    halves = [SpanScores(*(part[s] for part in both)) for s in (slice(count), slice(count, None))]
    means = sum(float(window_loss(half, twice)) for half in halves) / 2
    apart = float(divergence(*halves))
    assert apart > 0
    assert float(loss) == pytest.approx(means + 2 * apart, rel=1e-5)


def test_every_window_is_scored_twice(encoder_dir: Path, once: Any, twice: Any) -> None:
    reader = SpanReader.from_pretrained(str(encoder_dir), boundaries=True, pair_width=5).eval()
    scored_once, scored_twice = (reader(**model_inputs(batch)) for batch in (once, twice))
    for part, doubled in zip(scored_once, scored_twice, strict=True):
        torch.testing.assert_close(doubled, torch.cat((part, part)), rtol=1e-5, atol=1e-5)
