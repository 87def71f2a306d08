"""train_step and adamw against loops written out by hand, in fp64."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from qa.engine import TrainConfig, UserError, train_step
from qa.engine.loss_terms import LossFn
from qa.engine.optim import adamw, set_rates
from qa.engine.precision import Precision
from qa.engine.step import StepResult

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
ITEMS = 13
Grads = list[list[torch.Tensor]]


def make_model(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Tanh(), nn.Linear(7, 1)).to(dtype)


def make_items(step: int, ignored: Sequence[int] = ()) -> dict[str, torch.Tensor]:
    """13 items of a regression; the targets grow with the step, so the gradient norms differ."""
    generator = torch.Generator().manual_seed(100 + step)
    is_valid = torch.ones(ITEMS, dtype=torch.float64)
    is_valid[list(ignored)] = 0
    x = torch.randn(ITEMS, 5, generator=generator, dtype=torch.float64)
    y = torch.randn(ITEMS, generator=generator, dtype=torch.float64) * (1 + step)
    return {"x": x, "y": y, "is_valid": is_valid}


def squared_error(model: nn.Module, batch: Any) -> torch.Tensor:
    errors: torch.Tensor = model(batch["x"]).squeeze(-1) - batch["y"]
    is_valid: torch.Tensor = batch["is_valid"]
    return (errors**2 * is_valid).sum()


def cut(items: dict[str, torch.Tensor], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Micro-batches of the given sizes; num_items counts the valid items only."""
    pieces = {name: value.split(list(sizes)) for name, value in items.items()}
    batches = [{name: pieces[name][i] for name in pieces} for i in range(len(sizes))]
    return [{**batch, "num_items": int(batch["is_valid"].sum())} for batch in batches]


def run_steps(
    model: nn.Module,
    steps: Sequence[list[dict[str, Any]]],
    learning_rates: Sequence[float],
    max_grad_norm: float = 0.0,
    weight_decay: float = 0.01,
) -> tuple[Grads, list[Any]]:
    """The gradients each optimizer step was given, and the results of train_step."""
    optimizer = make_optimizer(model, 1.0, weight_decay)
    seen: Grads = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(copy_grads(model)))
    results = [
        step_at(
            learning_rate,
            model,
            micro_batches,
            squared_error,
            optimizer,
            Precision("fp32", CPU),
            max_grad_norm,
        )
        for micro_batches, learning_rate in zip(steps, learning_rates, strict=True)
    ]
    return seen, results


def run_reference(
    model: nn.Module,
    batches: Sequence[dict[str, Any]],
    learning_rates: Sequence[float],
    max_grad_norm: float | None = None,
    weight_decay: float = 0.01,
) -> tuple[Grads, list[float], list[float]]:
    """The same steps written out: mean loss of one big batch, clipping by hand, torch's own AdamW.

    Returns the gradients given to the optimizer, the losses and the norms before clipping.
    """
    named = list(model.named_parameters())
    matrices = [p for name, p in named if name in ("0.weight", "3.weight")]
    rest = [p for name, p in named if name not in ("0.weight", "3.weight")]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}],
        foreach=False,
        fused=False,
    )
    seen: Grads = []
    losses, norms = [], []
    for batch, learning_rate in zip(batches, learning_rates, strict=True):
        optimizer.zero_grad()
        loss = squared_error(model, batch) / batch["num_items"]
        loss.backward()
        norm = torch.cat([grad.flatten() for grad in copy_grads(model)]).norm()
        if max_grad_norm is not None and norm > max_grad_norm:
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.grad *= max_grad_norm / (norm + 1e-6)  # torch's guard against 0/0
        seen.append(copy_grads(model))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return seen, losses, norms


def make_optimizer(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    own_rates: dict[str, float] | None = None,
) -> torch.optim.Optimizer:
    config = TrainConfig(learning_rate=learning_rate, weight_decay=weight_decay)
    return adamw(model, config, own_rates)


def step_at(
    factor: float,
    model: nn.Module,
    batches: list[dict[str, Any]],
    loss_fn: LossFn,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    max_grad_norm: float,
) -> StepResult:
    """A step at this factor of the optimizer's peak rates."""
    set_rates([optimizer], factor)
    return train_step(model, batches, loss_fn, [optimizer], precision, max_grad_norm=max_grad_norm)


def copy_grads(model: nn.Module) -> list[torch.Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def copy_weights(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def max_difference(ours: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> float:
    return max((a - b).abs().max().item() for a, b in zip(ours, other, strict=True))


RATES = [0.01, 0.03, 0.02, 0.005]


@pytest.mark.parametrize("ignored", [(), (0, 4, 11, 12), (5, 6, 7, 8, 9)])
@pytest.mark.parametrize("sizes", [(13,), (5, 5, 3), (8, 1, 4), (2, 11), (1,) * 13])
def test_any_split_of_the_items_gives_the_step_of_one_big_batch(
    sizes: tuple[int, ...], ignored: tuple[int, ...]
) -> None:
    ours, reference = make_model(), make_model()
    items = [make_items(step, ignored) for step in range(4)]
    grads, results = run_steps(ours, [cut(i, sizes) for i in items], RATES)
    expected, losses, norms = run_reference(reference, [cut(i, (ITEMS,))[0] for i in items], RATES)
    for ours_at, reference_at in zip(grads, expected, strict=True):
        assert max_difference(ours_at, reference_at) < 1e-12
    assert max_difference(copy_weights(ours), copy_weights(reference)) < 1e-12
    assert [r.loss.item() for r in results] == pytest.approx(losses, abs=1e-12, rel=1e-13)
    assert [r.grad_norm.item() for r in results] == pytest.approx(norms, abs=1e-12, rel=1e-13)


def test_the_mean_is_over_items_and_not_over_micro_batches() -> None:
    """The test above can tell the difference: a mean of the means of unequal parts is another."""
    model = make_model()
    parts = cut(make_items(3), (8, 1, 4))
    with torch.no_grad():
        sums = [squared_error(model, part).item() for part in parts]
    mean_of_means = sum(s / p["num_items"] for s, p in zip(sums, parts, strict=True)) / 3
    _, results = run_steps(model, [parts], [0.01])
    assert results[0].loss.item() == pytest.approx(sum(sums) / ITEMS, rel=1e-13)
    assert abs(results[0].loss.item() - mean_of_means) > 0.1


def test_all_items_ignored_leaves_loss_0_and_only_decay() -> None:
    model = make_model()
    before = copy_weights(model)
    batches = cut(make_items(0, ignored=range(ITEMS)), (7, 6))
    _, results = run_steps(model, [batches], [0.5], max_grad_norm=1.0, weight_decay=0.1)
    assert results[0].loss.item() == 0
    assert results[0].grad_norm.item() == 0
    expected = [w * (1 - 0.5 * 0.1) if w.ndim == 2 else w for w in before]
    assert max_difference(copy_weights(model), expected) < 1e-15


def test_clipping_is_the_hand_written_one() -> None:
    ours, reference, unclipped = make_model(), make_model(), make_model()
    items = [make_items(step) for step in range(4)]
    whole = [cut(i, (ITEMS,))[0] for i in items]
    grads, results = run_steps(ours, [cut(i, (6, 7)) for i in items], RATES, max_grad_norm=2.0)
    expected, _, norms = run_reference(reference, whole, RATES, max_grad_norm=2.0)
    run_reference(unclipped, whole, RATES)
    assert min(norms) < 2 < max(norms)  # the limit binds in some steps and not in others
    assert [r.grad_norm.item() for r in results] == pytest.approx(norms, abs=1e-12, rel=1e-13)
    for ours_at, reference_at in zip(grads, expected, strict=True):
        assert max_difference(ours_at, reference_at) < 1e-12
    assert max_difference(copy_weights(ours), copy_weights(reference)) < 1e-12
    assert max_difference(copy_weights(ours), copy_weights(unclipped)) > 1e-4


def test_max_grad_norm_0_does_not_clip() -> None:
    ours, huge = make_model(), make_model()
    steps = [cut(make_items(step), (ITEMS,)) for step in range(4)]
    run_steps(ours, steps, RATES, max_grad_norm=0.0)
    run_steps(huge, steps, RATES, max_grad_norm=1e9)
    assert max_difference(copy_weights(ours), copy_weights(huge)) == 0


def test_each_step_uses_its_own_learning_rate() -> None:
    """Without gradients decay alone moves a matrix: by 1 - learning_rate * weight_decay."""
    model = make_model()
    matrix = model.get_parameter("0.weight")
    weight = matrix.detach().clone()
    optimizer = make_optimizer(model, 1.0, 0.1)
    for learning_rate in (0.0, 0.5, 0.25, 0.0):
        step_at(
            learning_rate,
            model,
            cut(make_items(0, ignored=range(ITEMS)), (ITEMS,)),
            squared_error,
            optimizer,
            Precision("fp32", CPU),
            1.0,
        )
        weight = weight * (1 - learning_rate * 0.1)
        assert max_difference([matrix], [weight]) < 1e-15


def test_gradients_of_a_step_do_not_reach_the_next_one() -> None:
    model = make_model()
    run_steps(model, [cut(make_items(0), (6, 7))], [0.01])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_only_matrices_decay() -> None:
    model = nn.ModuleDict(
        {"embedding": nn.Embedding(4, 3), "norm": nn.LayerNorm(3), "out": nn.Linear(3, 2)}
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer(model, 0.5, 0.2)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        decays = name in ("embedding.weight", "out.weight")
        factor = 1 - 0.5 * 0.2 if decays else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor, msg=name)


def test_frozen_parameters_are_left_out_of_the_optimizer() -> None:
    model = make_model()
    model.get_submodule("0").requires_grad_(False)
    groups = make_optimizer(model, 0.1, 0.1).param_groups
    optimized = {id(p) for group in groups for p in group["params"]}
    assert optimized == {id(p) for p in model.parameters() if p.requires_grad}


def test_parameters_with_a_rate_of_their_own_move_as_with_an_optimizer_of_their_own() -> None:
    """Two torch optimizers, one for the named part and one for the rest, are the reference."""
    torch.manual_seed(0)
    ours = nn.ModuleDict({"encoder": nn.Linear(3, 4), "head": nn.Linear(4, 1)}).double()
    theirs = copy.deepcopy(ours)
    optimizer = make_optimizer(ours, 0.01, 0.1, {"head.": 0.05})
    references = [
        torch.optim.AdamW(
            [
                {"params": [theirs.get_parameter(f"{name}.weight")], "weight_decay": 0.1},
                {"params": [theirs.get_parameter(f"{name}.bias")], "weight_decay": 0.0},
            ],
            lr=rate,
        )
        for name, rate in (("encoder", 0.01), ("head", 0.05))
    ]

    def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
        hidden = model.get_submodule("encoder")(batch["x"]).tanh()
        outputs: torch.Tensor = model.get_submodule("head")(hidden)
        return outputs.square().sum()

    for factor in (1.0, 0.5, 0.25):  # a schedule, which holds for both rates
        batch = {"x": torch.randn(5, 3, dtype=torch.float64), "num_items": 1}
        step_at(factor, ours, [batch], loss_of, optimizer, Precision("fp32", CPU), 0.0)
        loss_of(theirs, batch).backward()
        for reference, own_rate in zip(references, (0.01, 0.05), strict=True):
            for group in reference.param_groups:
                group["lr"] = own_rate * factor
            reference.step()
            reference.zero_grad()
    for (name, found), expected in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(found, expected, msg=name)


def test_fp16_skips_a_step_that_overflows_and_halves_the_scale() -> None:
    """Each weight's gradient is 12, so scaled ones fit into fp16 (65504) from scale 2^12 down."""
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = make_optimizer(model, 1.0, 0.1)
    precision = Precision("fp16", CPU)
    scaler = precision.scaler
    scales, norms, changes = [scaler.get_scale()], [], []
    for _ in range(5):
        before = copy_weights(model)
        result = step_at(
            0.01,
            model,
            [{"x": torch.ones(2, 4), "num_items": 2}],
            lambda model, batch: (model(batch["x"]) * 12).sum(),
            optimizer,
            precision,
            1.0,
        )
        scales.append(scaler.get_scale())
        norms.append(result.grad_norm.item())
        changes.append(max_difference(copy_weights(model), before))
    assert scales == [2.0**16, 2.0**15, 2.0**14, 2.0**13, 2.0**12, 2.0**12]
    assert norms == [float("inf")] * 4 + [pytest.approx((5 * 12**2) ** 0.5)]
    assert changes[:4] == [0.0] * 4
    assert changes[4] == pytest.approx(0.01, rel=0.1)  # Adam's first step is the learning rate


class Pair(nn.Module):
    """Two weights, whose gradients are what the batch says."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.ones(2)) for _ in range(2))


def step_of_two(model: Pair, factors: tuple[float, ...], max_grad_norm: float) -> Precision:
    """A step in fp16 of two optimizers, one of each weight; a factor of 0: it takes no part."""
    precision = Precision("fp16", CPU)
    weights = (model.first, model.second)

    def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
        parts = [f * w.sum() for f, w in zip(factors, weights, strict=True) if f]
        return torch.stack(parts).sum()

    train_step(
        model,
        [{"num_items": 1}],
        loss_of,
        [torch.optim.SGD([weight], lr=0.5) for weight in weights],
        precision,
        max_grad_norm=max_grad_norm,
    )
    return precision


@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
@pytest.mark.parametrize("factors", [(1e38, 1.0), (1.0, 1e38), (float("nan"), 1.0)])
def test_an_overflow_in_one_optimizer_skips_all(
    factors: tuple[float, float], max_grad_norm: float
) -> None:
    """Clipped to a norm that is not finite the others would become NaN, or zero."""
    model = Pair()
    precision = step_of_two(model, factors, max_grad_norm)
    assert model.first.tolist() == model.second.tolist() == [1.0, 1.0]
    assert precision.scaler.get_scale() == 2.0**15
    step_of_two(model, (1.0, 2.0), 0.0)
    assert (model.first.tolist(), model.second.tolist()) == ([0.5, 0.5], [0.0, 0.0])


def test_an_optimizer_without_gradients_makes_no_step_in_fp16() -> None:
    model = Pair()
    step_of_two(model, (1.0, 0.0), 0.0)
    assert (model.first.tolist(), model.second.tolist()) == ([0.5, 0.5], [1.0, 1.0])


def test_a_loss_without_a_graph_is_one_line() -> None:
    """As that of a batch without items, if it is made of nothing."""
    with pytest.raises(UserError, match="the loss depends on no weight that is trained"):
        train_step(
            Pair(),
            [{"num_items": 0}],
            lambda model, batch: torch.zeros(()),
            [],
            Precision("fp32", CPU),
            max_grad_norm=0.0,
        )


def test_a_frozen_model_is_one_line() -> None:
    model = Pair().requires_grad_(False)
    with pytest.raises(UserError, match="there is nothing to train"):
        adamw(model, TrainConfig())
