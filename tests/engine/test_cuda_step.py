"""The step on a GPU: it never waits for the device, and learns what it learns on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qa.data.batches.collate import Collator
from qa.data.batches.training_order import TrainingOrder
from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.engine import TrainConfig, TrainingRun
from qa.engine.precision import Precision
from qa.models.loss import reader_loss
from qa.models.span_reader import SpanReader

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CONTEXT = "솔뫼산은 높이가 812미터이고, 봉우리는 셋이며, 그 아래에 한 마을이 있다. " * 3


def make_run(directory: Path, tokenizer: Any, device: str, precision: str = "fp32") -> TrainingRun:
    """A run that trains a tiny model without dropout on four windows."""
    torch.manual_seed(0)
    model = SpanReader.from_pretrained(str(directory), 0.0, 0.0, boundaries=True)
    model.to(device).prepare(Precision(precision, torch.device(device)))
    example = Example("0", "높이는?", CONTEXT, ("812미터",), (CONTEXT.index("812"),))
    windows = list(iterate_windows([example] * 4, tokenizer, WindowOptions(48, 8, 12)))
    lengths = np.array([window["length"] for window in windows])
    order = TrainingOrder(lengths, np.ones(len(windows), dtype=bool), 1.0, 2, 0)
    config = TrainConfig(learning_rate=1e-3, num_train_epochs=2, precision=precision, device=device)
    collator = Collator(48, *model.batch_form(torch.device(device), 48, trains=True))
    return TrainingRun(model, reader_loss, windows, order, collator, config)


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_step_never_waits_for_the_device(encoder_dir: Path, tokenizer: Any, precision: str) -> None:
    steps = make_run(encoder_dir, tokenizer, "cuda", precision).steps()
    next(steps)  # the first one sets libraries up
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_same_losses_as_on_a_cpu(encoder_dir: Path, tokenizer: Any) -> None:
    losses = [
        [float(out.loss) for out in make_run(encoder_dir, tokenizer, device).steps()]
        for device in ("cuda", "cpu")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
