"""run.evaluation(): an evaluation in the middle of a training changes nothing of it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from support.regression import (
    collate,
    make_dataset,
    make_model,
    make_run,
    order,
    squared_error,
)
from torch import nn

from qa.engine import Notice, TrainConfig, TrainingRun

pytestmark = pytest.mark.usefixtures("one_thread")

BATCH = collate(make_dataset())


class Remembering(nn.Module):
    """Makes a mask when it first runs, and keeps it, as many models do."""

    mask: torch.Tensor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.mask is None:
            self.mask = torch.ones(4)
        hidden: torch.Tensor = self.linear(x * self.mask)
        return hidden * self.mask[0]


def test_the_model_is_in_eval_mode_without_gradients() -> None:
    run = make_run()
    with run.evaluation() as model:
        losses = [squared_error(model, run.to_device(BATCH)) for _ in range(2)]
        assert model is run.model
        assert not any(module.training for module in model.modules())
    assert torch.equal(*losses)  # no dropout
    assert not losses[0].requires_grad


def test_modes_are_put_back_one_by_one() -> None:
    run = make_run()
    run.model[1].eval()  # type: ignore[index]
    before = [module.training for module in run.model.modules()]
    assert len(set(before)) == 2
    with run.evaluation():
        pass
    with pytest.raises(ZeroDivisionError), run.evaluation():
        raise ZeroDivisionError
    assert [module.training for module in run.model.modules()] == before


def test_the_number_format_is_that_of_the_training() -> None:
    run = make_run(precision="bf16")
    with run.evaluation() as model:
        assert model(BATCH["x"]).dtype == torch.bfloat16


def test_drawing_in_an_evaluation_changes_nothing() -> None:
    expected = [float(out.loss) for out in make_run().steps()]
    run, found = make_run(), []
    for out in run.steps():
        found.append(float(out.loss))
        with run.evaluation() as model:
            model(BATCH["x"] + torch.rand(()) + random.random() + np.random.random())
    assert found == expected


def test_what_a_model_keeps_from_an_evaluation_serves_a_step() -> None:
    config = TrainConfig(device="cpu", precision="fp32", max_steps=2)
    stream: Any = [BATCH]
    run = TrainingRun(Remembering(), squared_error, stream, None, None, config)
    with run.evaluation() as model:
        model(BATCH["x"])
    assert len(list(run.steps())) == 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_may_change_within_an_evaluation(precision: str) -> None:
    """As when a mean of the weights is evaluated after the weights themselves."""
    run = make_run(precision=precision)
    with run.evaluation() as model:
        first = model(BATCH["x"])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(2)
        second = model(BATCH["x"])
    with run.evaluation() as model:
        assert torch.equal(model(BATCH["x"]), second)
    assert not torch.equal(first, second)


def test_a_part_in_eval_mode_stays_in_it() -> None:
    """As a frozen BatchNorm or a teacher, also after a person's own evaluation of the whole."""
    run = make_run()
    part = run.model[1]  # type: ignore[index]
    assert part.training
    part.eval()
    for out in run.steps():
        assert run.model.training
        assert not part.training
        if out.global_step == 2:
            run.model.eval()
        elif out.global_step == 3:
            with run.evaluation():
                pass
    assert out.global_step > 3


@pytest.mark.parametrize("part", ["", "1"])
def test_a_model_that_comes_in_eval_mode_is_trained(part: str) -> None:
    """As transformers loads them, also if a module of one's own is around it."""
    model = make_model()
    model.get_submodule(part).eval()
    run = run_of(model)
    assert all(module.training for module in run.model.modules())
    next(run.steps())
    assert all(module.training for module in run.model.modules())


def test_a_frozen_part_in_eval_mode_is_told_what_becomes_of_it() -> None:
    model = make_model()
    teacher = nn.Sequential(nn.Linear(4, 1), nn.Dropout(0.5)).requires_grad_(False).eval()
    model.get_submodule("0").add_module("teacher", teacher)
    with pytest.warns(Notice, match=r"\(0\.teacher\); what is put into eval mode after"):
        run_of(model)


def run_of(model: nn.Module) -> TrainingRun:
    """A run of this model."""
    config = TrainConfig(precision="fp32", device="cpu", learning_rate=0.05)
    return TrainingRun(model, squared_error, make_dataset(), order, collate, config)
