"""check_split names a mean, a wrong count and coupled items, and passes what adds up."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from support.regression import collate, make_dataset, make_run, order, squared_error
from torch.nn import functional as F

from qa.engine import TrainConfig, TrainingRun, UserError, check_split
from qa.engine.rng import rng_state

pytestmark = pytest.mark.usefixtures("one_thread")

ITEMS = make_dataset()


def mean(model: Any, batch: Any) -> torch.Tensor:
    return squared_error(model, batch) / len(batch["y"])


def contrastive(model: Any, batch: Any) -> torch.Tensor:
    outputs = model(batch["x"])
    return F.cross_entropy(outputs @ outputs.T, torch.arange(len(outputs)), reduction="sum")


def penalised(model: Any, batch: Any) -> torch.Tensor:
    """The gradient of each item's output enters its loss, so that gradients must be on."""
    x = batch["x"].clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    penalty: torch.Tensor = slope.square().sum()
    return squared_error(model, batch) + penalty


def with_term(term: Any) -> Any:
    return lambda model, batch: (squared_error(model, batch), {"part": term(model, batch)})


@pytest.mark.parametrize("loss_fn", [squared_error, penalised, with_term(squared_error)])
@pytest.mark.parametrize("size", [2, 3, 13])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_sums_pass(loss_fn: Any, size: int, precision: str) -> None:
    run = make_run(precision=precision)
    run.loss_fn = loss_fn
    check_split(run, ITEMS[:size])


@pytest.mark.parametrize(
    ("loss_fn", "told"),
    [
        (mean, r"the loss .* \(a mean\?\)"),
        (contrastive, r"the loss .* \(are the items independent\?\)"),
        (with_term(mean), r"part of a batch .* \(a mean\?\)"),
    ],
)
@pytest.mark.parametrize("size", [2, 5, 12])
def test_what_does_not_add_up_is_named(loss_fn: Any, told: str, size: int) -> None:
    run = make_run()
    run.loss_fn = loss_fn
    with pytest.raises(UserError, match=told) as error:
        check_split(run, ITEMS[:size])
    assert "\n" not in str(error.value)


def test_the_figures_are_those_of_the_loss() -> None:
    run = make_run()
    run.loss_fn = mean
    model = run.model.eval()
    parts = [collate(ITEMS[a:b]) for a, b in ((0, 13), (0, 6), (6, 13))]
    whole, first, second = (f"{float(mean(model, part).detach()):.6g}" for part in parts)
    with pytest.raises(UserError) as error:
        check_split(run, ITEMS)
    assert f"is {whole}, of its halves {first} + {second} (a mean?)" in str(error.value)


def test_a_wrong_count_is_named() -> None:
    run = make_run(collate_fn=lambda items: {**collate(items), "num_items": 1})
    with pytest.raises(UserError, match=r"the num_items of a batch is 1, of its halves 1 \+ 1 "):
        check_split(run, ITEMS)


def test_a_collator_that_draws_passes() -> None:
    """It draws for the halves what it drew for the whole."""

    def noisy(items: list[torch.Tensor]) -> Any:
        return collate([item + random.random() + torch.rand(()) for item in items])

    check_split(make_run(collate_fn=noisy), ITEMS)


def test_the_run_stays_as_it_was() -> None:
    run = make_run()
    next(run.steps())
    before = run.state_dict()
    check_split(run, ITEMS)
    after = run.state_dict()
    assert all(module.training for module in run.model.modules())
    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert torch.equal(after["rng"][0]["torch"], before["rng"][0]["torch"])
    assert rng_state()["python"] == before["rng"][0]["python"]
    assert all(torch.equal(v, before["model"][name]) for name, v in after["model"].items())


def test_one_item_or_a_stream_cannot_be_split() -> None:
    with pytest.raises(UserError, match="two items"):
        check_split(make_run(), ITEMS[:1])
    config = TrainConfig(max_steps=1, device="cpu")
    stream = TrainingRun(make_run().model, squared_error, [collate(ITEMS)], None, None, config)
    with pytest.raises(UserError, match="collate_fn"):
        check_split(stream, ITEMS)


def test_weights_held_in_bf16() -> None:
    """A step multiplies them with inputs in fp32 in the training's format."""
    config = TrainConfig(precision="bf16", device="cpu")
    model = torch.nn.Linear(4, 1).bfloat16()
    run = TrainingRun(model, squared_error, ITEMS, order, collate, config)
    check_split(run, ITEMS, tolerance=0.05)
    next(run.steps())


def test_terms_that_not_all_batches_have_are_named() -> None:
    run = make_run()
    run.loss_fn = lambda model, batch: (
        squared_error(model, batch),
        {"many": batch["y"].sum()} if len(batch["y"]) > 2 else {},
    )
    told = r"the terms \['many'\] of a batch, \[\] and \[\] of its halves"
    with pytest.raises(UserError, match=told):
        check_split(run, ITEMS[:4])
