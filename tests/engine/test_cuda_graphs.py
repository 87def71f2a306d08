"""CUDA graphs on CUDA: the steps without them, bit for bit, and without waiting for the device."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.regression import collate, make_run, squared_error
from torch import nn

from qa.data.batches.collate import Collator
from qa.data.batches.training_order import TrainingOrder
from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.engine import Notice, TrainConfig, TrainingRun, UserError
from qa.engine.run_differences import state_differences
from qa.models.loss import reader_loss
from qa.models.span_reader import SpanReader

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

PRECISIONS = ["fp32", "bf16"]


def make(cuda_graphs: str = "auto", **settings: Any) -> TrainingRun:
    """Dropout, a shorter last batch, three epochs: shapes run, are recorded and are replayed."""
    values = {"device": "cuda", "deterministic": True, "num_train_epochs": 3, **settings}
    return make_run(cuda_graphs=cuda_graphs, **values)


def states(run: TrainingRun) -> list[Any]:
    """Loss, gradient norm and the whole state after each step, random generators included."""
    found = []
    for out in run.steps():
        numbers = out.loss.item(), out.grad_norm.item()
        found.append((numbers, copy.deepcopy(run.state_dict())))
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("accumulation", [1, 3])
def test_replays_are_the_steps_without_graphs(accumulation: int, precision: str) -> None:
    """And draw the same dropout masks, so that the generator is at the same place after each."""
    settings: dict[str, Any] = {"gradient_accumulation_steps": accumulation, "precision": precision}
    expected = states(make("off", **settings))
    found = states(make(**settings))
    assert len(found) == len(expected)
    for step, (ours, theirs) in enumerate(zip(found, expected, strict=True), start=1):
        assert list(state_differences(ours, theirs, f"step {step}")) == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_resuming_at_any_step_equals_not_stopping(precision: str) -> None:
    expected = states(make(precision=precision))
    for stop in (1, 2, 3, 7, 8, 14, 15, 20):
        resumed = make(precision=precision, model_seed=100 + stop)
        resumed.load_state_dict(copy.deepcopy(expected[stop - 1][1]))
        assert list(state_differences(states(resumed), expected[stop:], f"from {stop}")) == []


def test_a_replayed_step_never_waits_for_the_device() -> None:
    steps = make(precision="bf16").steps()
    for _ in range(15):  # two epochs, in which each shape comes twice, and one step
        next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(6):
            next(steps)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_loss_that_waits_for_the_device_is_refused() -> None:
    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        loss = squared_error(model, batch)
        return loss * 2 if loss.item() > 0 else loss

    run = make()
    run.loss_fn = loss_fn
    with pytest.raises(
        UserError, match=r"loss_fn cannot be a CUDA graph.*set cuda_graphs"
    ) as error:
        list(run.steps())
    assert "\n" not in str(error.value)
    assert run.global_step == 1
    torch.ones(2, device="cuda").sum().item()  # the device goes on


def test_a_loss_that_reads_a_count_is_refused() -> None:
    run = make()
    run.loss_fn = lambda model, batch: squared_error(model, batch) / batch["num_items"]
    with pytest.raises(UserError, match=r"batch\['num_items'\]"):
        list(run.steps())


def test_with_data_workers_that_pin_memory() -> None:
    """Their threads use CUDA while a graph is recorded."""
    expected = states(make("off"))
    found = states(make(num_workers=2, collate_fn=collate))
    assert list(state_differences(found, expected, "steps")) == []


def test_fp16_is_off_with_a_notice() -> None:
    with pytest.warns(Notice, match="cuda_graphs: off, since fp16 scales the loss"):
        run = make(precision="fp16", deterministic=False)
    assert run.graphs is None


def test_torchs_switches_are_put_back_after_each_step() -> None:
    for _ in make(max_steps=2).steps():
        assert not torch.are_deterministic_algorithms_enabled()


CONTEXT = "솔뫼산은 높이가 812미터이고, 봉우리는 셋이며, 그 아래에 한 마을이 있다. " * 3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_reader_learns_the_same_with_graphs(
    encoder_dir: Path, tokenizer: Any, precision: str
) -> None:
    example = Example("0", "높이는?", CONTEXT, ("812미터",), (CONTEXT.index("812"),))
    windows = list(iterate_windows([example] * 6, tokenizer, WindowOptions(48, 8, 12)))
    lengths = np.array([window["length"] for window in windows])

    def train(cuda_graphs: str) -> list[Any]:
        torch.manual_seed(0)
        model = SpanReader.from_pretrained(str(encoder_dir), 0.1, 0.1, boundaries=True)
        order = TrainingOrder(lengths, np.ones(len(windows), dtype=bool), 1.0, 2, 0)
        config = TrainConfig(
            learning_rate=1e-3,
            num_train_epochs=4,
            precision=precision,
            device="cuda",
            cuda_graphs=cuda_graphs,
            deterministic=True,
        )
        return states(TrainingRun(model, reader_loss, windows, order, Collator(48), config))

    assert list(state_differences(train("auto"), train("off"), "steps")) == []
