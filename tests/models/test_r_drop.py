"""R-Drop's loss against two passes made one after the other, and textbook divergences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from qa.data.batches.collate import Collator
from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.models.loss import divergence, r_drop_loss, twice, window_loss
from qa.models.span_reader import SpanReader, SpanScores, model_inputs

pytestmark = pytest.mark.usefixtures("one_thread")

CONTEXT = "솔뫼산은 높이가 812미터이고, 봉우리는 셋이며, 그 아래에 한 마을이 있다. " * 2


@pytest.fixture
def batch(tokenizer: Any) -> dict[str, Any]:
    example = Example("0", "높이는?", CONTEXT, ("812미터",), (CONTEXT.index("812"),))
    windows = list(iterate_windows([example], tokenizer, WindowOptions(40, 8, 12)))
    assert len(windows) > 1
    return Collator(40)(windows)


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
    found = divergence(*(SpanScores(*sides, None) for sides in logits))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_without_dropout_it_is_the_ordinary_loss(encoder_dir: Path, batch: Any) -> None:
    torch.manual_seed(0)
    reader = SpanReader.from_pretrained(str(encoder_dir), 0.0, 0.0, boundaries=True).train()
    expected = window_loss(reader(**model_inputs(batch)), batch)
    found = r_drop_loss(reader, batch, 3.0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_two_passes_differ_by_their_dropout_alone(encoder_dir: Path, batch: Any) -> None:
    """The doubled batch's halves are two passes: the loss of each and their distance add up."""
    torch.manual_seed(0)
    reader = SpanReader.from_pretrained(str(encoder_dir), 0.0, 0.3, boundaries=True).train()
    torch.manual_seed(1)
    loss = r_drop_loss(reader, batch, 2.0)
    torch.manual_seed(1)
    both = reader(**twice(model_inputs(batch)))
    count = len(batch["lengths"])
    halves = [SpanScores(*(part[s] for part in both)) for s in (slice(count), slice(count, None))]
    means = sum(float(window_loss(half, batch)) for half in halves) / 2
    apart = float(divergence(*halves))
    assert apart > 0
    assert float(loss) == pytest.approx(means + 2 * apart, rel=1e-5)


def test_every_window_is_scored_twice(encoder_dir: Path, batch: Any) -> None:
    reader = SpanReader.from_pretrained(str(encoder_dir), boundaries=True).eval()
    once = reader(**model_inputs(batch))
    for part, doubled in zip(once, reader(**twice(model_inputs(batch))), strict=True):
        torch.testing.assert_close(doubled, torch.cat((part, part)), rtol=1e-5, atol=1e-5)
