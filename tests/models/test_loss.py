"""The loss against torch's cross-entropy, window by window, in fp64."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from qa.models.loss import IGNORE_POSITION, span_loss

LENGTHS = [9, 6, 1, 9]


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
    """d loss / d logit is (softmax - one-hot) / 2, and 0 on padding."""
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
