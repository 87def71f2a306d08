"""Checkpoints of what trains: resumed bit for bit, and refused if anything else is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.regression import make_run
from torch import nn

from qa.engine import TrainingRun, UserError, load_checkpoint, save_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")

TRAINABLE = {"2.weight", "2.bias", "4.weight", "4.bias"}


def run_with_frozen_layer(
    monkeypatch: pytest.MonkeyPatch, frozen: int = 0, **settings: Any
) -> TrainingRun:
    """The base weights are those of seed 0 in every run; the others are not."""
    import support.regression

    base = make_run(0).model[0].state_dict()  # type: ignore[index]
    make = support.regression.make_model

    def make_frozen() -> nn.Module:
        model = make()
        model[0].load_state_dict(base)  # type: ignore[index]
        model[frozen].requires_grad_(False)  # type: ignore[index]
        return model

    with monkeypatch.context() as patch:
        patch.setattr(support.regression, "make_model", make_frozen)
        return make_run(**settings)


def test_frozen_weights_are_left_out_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, losses = run_with_frozen_layer(monkeypatch), []
    for out in run.steps():
        losses.append(float(out.loss))
        if out.global_step == 5:
            save_checkpoint(tmp_path, 5, run.state_dict(trainable_only=True), {})
    state = load_checkpoint(tmp_path / "step-00000005")
    assert state["model"].keys() == TRAINABLE
    resumed = run_with_frozen_layer(monkeypatch, model_seed=7)
    resumed.load_state_dict(state)
    assert [float(out.loss) for out in resumed.steps()] == losses[5:]
    for name, value in run.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_a_run_that_trains_what_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    state = run_with_frozen_layer(monkeypatch).state_dict(trainable_only=True)
    with pytest.raises(UserError, match=r"0\.bias is absent there"):
        make_run().load_state_dict(state)
    other = run_with_frozen_layer(monkeypatch, frozen=2)
    with pytest.raises(UserError, match=r"0\.bias is absent there"):
        other.load_state_dict(state)


def test_buffers_and_both_names_of_a_tied_weight() -> None:
    """A buffer changes though no optimizer has it; a tied frozen weight has two names."""
    run = make_run()
    run.model = nn.ModuleDict(
        {"norm": nn.BatchNorm1d(4), "in": nn.Linear(4, 4), "out": nn.Linear(4, 4)}
    )
    run.model["out"].weight = run.model["in"].weight
    run.model["in"].weight.requires_grad_(False)
    names = run.state_dict(trainable_only=True)["model"].keys()
    assert names == run.state_dict()["model"].keys() - {"in.weight", "out.weight"}
    assert "norm.running_mean" in names


def test_nothing_frozen_nothing_left_out() -> None:
    run = make_run()
    assert run.state_dict(trainable_only=True)["model"].keys() == run.weights().keys()
