"""Terms beside the loss: their means are per item over the whole step, exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.regression import collate, make_dataset, make_model, make_run, order, squared_error

from qa.engine import TrainConfig, TrainingRun, UserError, adamw

pytestmark = pytest.mark.usefixtures("one_thread")


def with_terms(model: Any, batch: Any) -> Any:
    errors = model(batch["x"]).squeeze(-1) - batch["y"]
    terms = {"square": (errors**2).sum(), "absolute": errors.abs().sum()}
    return terms["square"] + 0.1 * terms["absolute"], terms


@pytest.mark.parametrize("accumulation", [1, 3, 7])
def test_terms_are_means_over_the_items_of_the_step(accumulation: int) -> None:
    """In fp64 against one batch of all its items, whose last micro-batch is smaller."""
    config = TrainConfig(
        precision="fp32", device="cpu", gradient_accumulation_steps=accumulation, max_steps=7
    )
    rows = [row.double() for row in make_dataset()]
    model = make_model().double().eval()
    model.train = lambda mode=True: model  # type: ignore[method-assign]  # without dropout
    run = TrainingRun(
        model,
        with_terms,
        rows,
        order,
        collate,
        config,
        optimizer=lambda model: adamw(model, TrainConfig(learning_rate=1e-30, weight_decay=0)),
    )
    position, batches = 0, [batch for epoch in range(9) for batch in order(epoch)]
    for out in run.steps():
        size = min(accumulation, 7 - position % 7)
        items = [i for batch in batches[position : position + size] for i in batch]
        position += size
        loss, terms = with_terms(model, collate([rows[i] for i in items]))
        assert out.terms.keys() == {"square", "absolute"}
        for found, expected in ((out.loss, loss), *((out.terms[n], terms[n]) for n in terms)):
            assert found.dtype == torch.float64
            assert not found.requires_grad
            assert float(found) == pytest.approx(float(expected.detach()) / len(items), rel=1e-13)


def test_terms_do_not_change_what_is_learned() -> None:
    def with_term(model: Any, batch: Any) -> Any:
        return squared_error(model, batch), {"x": batch["x"].sum()}

    runs = make_run(), make_run()
    runs[1].loss_fn = with_term
    results = []
    for run in runs:
        torch.manual_seed(0)
        results.append([float(out.loss) for out in run.steps()])
        assert next(iter(run.model.parameters())).grad is None
    assert results[0] == results[1]
    for a, b in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_bf16_sums_add_up_in_fp32() -> None:
    """In bf16 a 257th one would be lost."""
    run = make_run(gradient_accumulation_steps=7, num_train_epochs=1)

    def loss_fn(model: Any, batch: Any) -> Any:
        first = {"count": torch.tensor(256.0 if batch["num_items"] == 1 else 1.0).bfloat16()}
        return squared_error(model, batch).bfloat16(), first

    run.loss_fn = loss_fn
    (out,) = run.steps()
    assert float(out.terms["count"]) == pytest.approx(262 / 13, rel=1e-6)
    assert out.loss.dtype == torch.float32


def test_a_term_may_be_called_loss() -> None:
    """It is logged; what is trained is the loss."""
    runs = make_run(), make_run()
    runs[1].loss_fn = lambda model, batch: (
        squared_error(model, batch),
        {"loss": torch.tensor(2.0 * batch["num_items"])},
    )
    results = []
    for run in runs:
        torch.manual_seed(0)
        steps = [(float(out.loss), out.terms) for out in run.steps()]
        results.append([loss for loss, _ in steps])
    assert len(set(results[0])) == 14
    assert [float(terms["loss"]) for _, terms in steps] == [2.0] * 14


def test_terms_that_change_are_refused() -> None:
    """Processes could not add them up: they exchange them without their names."""
    run = make_run(gradient_accumulation_steps=7)

    def loss_fn(model: Any, batch: Any) -> Any:
        loss = squared_error(model, batch)
        return loss, {"pair" if batch["num_items"] == 2 else "single": loss}

    run.loss_fn = loss_fn
    with pytest.raises(UserError, match=r"the terms \['(pair|single)'\] after"):
        next(run.steps())
