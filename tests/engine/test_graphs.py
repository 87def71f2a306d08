"""Steps made of recorded passes against the same steps without; on a CPU, with a stand-in."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.regression import collate, make_run, squared_error
from support.replaying import Replaying, with_graphs
from torch import nn

from qa.engine import NonfiniteCheck, Notice, RunStopped, TrainingRun, UserError, train_step
from qa.engine.forward_backward import forward_backward
from qa.engine.graph_recorder import CudaRecorder
from qa.engine.graphs import StepGraphs
from qa.engine.loss_terms import LOSS
from qa.engine.phase_clock import NO_CLOCK
from qa.engine.precision import Precision
from qa.engine.run_differences import state_differences

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
Batches = list[dict[str, Any]]


def dense_collate(items: list[torch.Tensor]) -> dict[str, Any]:
    """What a copy to the device makes of a batch: tensors without gaps."""
    batch = collate(items)
    return {**batch, "x": batch["x"].clone(), "y": batch["y"].clone()}


def figures(run: TrainingRun) -> list[tuple[float, float, dict[str, float]]]:
    return [
        (out.loss.item(), out.grad_norm.item(), {n: t.item() for n, t in out.terms.items()})
        for out in run.steps()
    ]


def with_terms(model: nn.Module, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    loss = squared_error(model, batch)
    return loss, {"half": loss / 2, "sum": batch["x"].sum()}


@pytest.mark.parametrize("loss_fn", [squared_error, with_terms])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_run_with_graphs_is_the_run_without(
    accumulation: int, precision: str, loss_fn: Any
) -> None:
    """Dropout, a shorter last batch, and a shorter last step of an epoch."""

    def make() -> TrainingRun:
        run = make_run(
            collate_fn=dense_collate,
            gradient_accumulation_steps=accumulation,
            num_train_epochs=4,
            precision=precision,
        )
        run.loss_fn = loss_fn
        return run

    plain = make()
    expected, state = figures(plain), plain.state_dict()
    run, recorder = with_graphs(make())
    assert figures(run) == expected
    assert list(state_differences(run.state_dict(), state, "run")) == []
    assert recorder.num_run + recorder.num_replayed == 28
    assert recorder.num_replayed >= 20
    assert all(parameter.grad is None for parameter in run.model.parameters())


def test_a_shape_that_comes_once_is_not_recorded() -> None:
    run, recorder = with_graphs(make_run(collate_fn=dense_collate, num_train_epochs=1))
    list(run.steps())  # six batches of two items and one of one item
    assert (recorder.num_run, recorder.num_recorded, recorder.num_replayed) == (2, 1, 5)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_resuming_at_any_step_equals_not_stopping(accumulation: int) -> None:
    """Though a shape that comes for the first time then was replayed in the other run."""

    def make(seed: int) -> TrainingRun:
        return with_graphs(
            make_run(
                seed,
                dense_collate,
                gradient_accumulation_steps=accumulation,
                num_train_epochs=3,
            )
        )[0]

    whole, states = make(0), []
    expected = []
    for out in whole.steps():
        expected.append(out.loss.item())
        states.append(copy.deepcopy(whole.state_dict()))
    for stop, state in enumerate(states, start=1):
        resumed = make(100 + stop)
        resumed.load_state_dict(copy.deepcopy(state))
        assert [out.loss.item() for out in resumed.steps()] == expected[stop:]
        assert list(state_differences(resumed.state_dict(), states[-1], "run")) == []


class Branched(nn.Module):
    """A layer that only some batches go through, and a weight without a gradient in all others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.branch, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 1)

    def forward(self, x: torch.Tensor, kind: str) -> torch.Tensor:
        hidden = self.first(x).relu()  # whose gradient has zeros of both signs
        output: torch.Tensor = self.last(self.branch(hidden) if kind == "branch" else hidden)
        return output


def branched_loss(model: nn.Module, batch: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    errors = (model(batch["x"], batch["kind"]).squeeze(-1) - batch["y"]) * batch["is_valid"]
    return errors.square().sum(), {"absolute": errors.abs().sum()}


def make_batch(size: int, num_valid: int, kind: str, seed: int) -> dict[str, Any]:
    """`num_items` below the number of rows: the share of the loss differs at the same shape."""
    drawn = torch.Generator().manual_seed(seed)
    return {
        "x": torch.randn(size, 4, generator=drawn),
        "y": 3 * torch.randn(size, generator=drawn),
        "is_valid": (torch.arange(size) < num_valid).float(),
        "kind": kind,
        "lengths": [size] * num_valid,
        "num_items": num_valid,
    }


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw-fused": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1, fused=True),
    "adamw-foreach": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1, foreach=False),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),  # keeps the gradient as it is
}


def train(steps: Sequence[Batches], optimizer_name: str, uses_graphs: bool) -> tuple[Any, Any]:
    """Everything that the steps report and leave, and what recorded them."""
    torch.manual_seed(0)
    model = Branched()
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    recorder = Replaying(model)
    graphs = StepGraphs(model.parameters(), recorder) if uses_graphs else None
    results = [
        train_step(
            model,
            micro_batches,
            branched_loss,
            [optimizer],
            Precision("fp32", CPU),
            max_grad_norm=1.0,
            graphs=graphs,
        )
        for micro_batches in steps
    ]
    reported = [(result.loss, result.grad_norm, result.terms) for result in results]
    return (reported, model.state_dict(), optimizer.state_dict()), recorder


batches = st.builds(
    make_batch,
    size=st.integers(2, 3),
    num_valid=st.integers(0, 2),
    kind=st.sampled_from(["plain", "branch"]),
    seed=st.integers(0, 99),
)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.lists(batches, min_size=1, max_size=3), min_size=1, max_size=12),
    optimizer_name=st.sampled_from([*OPTIMIZERS]),
)
def test_any_steps_are_those_without_graphs(steps: list[Batches], optimizer_name: str) -> None:
    """Bit for bit: shapes and shares in any order, weights that get a gradient in some steps."""
    found, _ = train(steps, optimizer_name, True)
    expected, _ = train(steps, optimizer_name, False)
    assert list(state_differences(found, expected, "steps")) == []


@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
def test_a_weight_without_a_gradient_stays_as_it_is(optimizer_name: str) -> None:
    """With a zero gradient it would decay, and go on with its momentum."""
    kinds = ["branch", "plain"] * 3
    steps = [[make_batch(2, 2, kind, seed)] for seed, kind in enumerate(kinds)]
    steps += [[make_batch(2, 2, "plain", 7)], [make_batch(2, 2, "plain", 8)]]
    found, recorder = train(steps, optimizer_name, True)
    expected, _ = train(steps, optimizer_name, False)
    assert list(state_differences(found, expected, "steps")) == []
    assert recorder.num_recorded == 2
    before, _ = train(steps[:5], optimizer_name, True)
    after_plain_steps = found[1]["branch.weight"]
    assert torch.equal(before[1]["branch.weight"], after_plain_steps)


def test_what_a_replay_returns_stays_when_the_next_one_runs() -> None:
    model = Branched()
    graphs = StepGraphs(model.parameters(), Replaying(model))
    run = partial(forward_backward, model, branched_loss, Precision("fp32", CPU), NO_CLOCK)
    steps = [make_batch(2, 2, "plain", seed) for seed in range(5)]
    returned = []
    for batch in steps:
        returned.append(graphs(run, batch, 0.5))
        model.zero_grad()
    for sums, batch in zip(returned, steps, strict=True):
        loss, terms = branched_loss(model, batch)
        assert list(state_differences(sums, {LOSS: loss.detach(), **detached(terms)}, "sums")) == []


def detached(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in values.items()}


@pytest.mark.parametrize("name", ["num_items", "lengths"])
@pytest.mark.parametrize("read", [lambda batch, name: batch[name], lambda b, name: b.get(name)])
def test_a_loss_that_reads_a_count_is_refused_in_the_first_step(name: str, read: Any) -> None:
    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        read(batch, name)
        return squared_error(model, batch)

    model = Branched()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    graphs = StepGraphs(model.parameters(), Replaying(model))
    with pytest.raises(UserError, match=rf"batch\['{name}'\].*set cuda_graphs to off") as error:
        train_step(
            model,
            [make_batch(2, 2, "plain", 0)],
            loss_fn,
            [optimizer],
            Precision("fp32", CPU),
            max_grad_norm=1.0,
            graphs=graphs,
        )
    assert "\n" not in str(error.value)


def test_what_a_captured_loss_sees_of_a_batch() -> None:
    seen: list[dict[str, Any]] = []

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.append({**batch})
        assert len(batch) == len(seen[-1])
        assert "num_items" not in batch
        assert "kind" in batch
        return squared_error(model, batch)

    def with_more(items: list[torch.Tensor]) -> dict[str, Any]:
        return {**dense_collate(items), "kind": "plain", "is_long": True, "ids": ["a", "b"]}

    run, recorder = with_graphs(make_run(collate_fn=with_more, num_train_epochs=1))
    run.loss_fn = loss_fn
    list(run.steps())
    assert recorder.num_recorded == 1
    assert {tuple(names) for names in seen} == {("x", "y", "kind", "is_long")}


def test_other_host_values_make_other_graphs() -> None:
    """A temperature, say, that is 1 in one batch and 2 in the next."""
    scales = [1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 3.0]

    def make() -> TrainingRun:
        drawn = iter(scales)
        run = make_run(
            collate_fn=lambda items: {**dense_collate(items[:1]), "scale": next(drawn)},
            num_train_epochs=1,
        )
        run.loss_fn = lambda model, batch: batch["scale"] * squared_error(model, batch)
        return run

    expected = figures(make())
    run, recorder = with_graphs(make())
    assert figures(run) == expected
    assert (recorder.num_run, recorder.num_recorded, recorder.num_replayed) == (3, 2, 4)


@pytest.mark.parametrize(
    "wrap",
    [lambda x: {"inner": x}, lambda x: [x], lambda x: (1, (x,))],
    ids=["dict", "list", "tuple"],
)
def test_a_batch_of_nested_tensors_runs_as_it_is(wrap: Callable[[Any], Any]) -> None:
    def make() -> TrainingRun:
        def nested(items: list[torch.Tensor]) -> dict[str, Any]:
            return {**dense_collate(items), "nested": wrap(torch.ones(2))}

        run = make_run(collate_fn=nested)
        run.loss_fn = lambda model, batch: squared_error(model, batch) / batch["num_items"]
        return run

    expected = figures(make())
    run, recorder = with_graphs(make())
    assert figures(run) == expected
    assert (recorder.num_run, recorder.num_recorded) == (14, 0)


def test_a_loss_that_draws_on_the_host_is_not_recorded() -> None:
    """A replay would drop the same layers as the recorded step, again and again."""

    def make() -> TrainingRun:
        run = make_run(collate_fn=dense_collate)
        run.loss_fn = lambda model, batch: random.random() * squared_error(model, batch)
        return run

    expected = figures(make())
    run, recorder = with_graphs(make())
    with pytest.warns(Notice, match="draws random numbers on the host") as notices:
        found = figures(run)
    assert found == expected
    assert recorder.num_recorded == 0
    assert len(notices) == 1


@pytest.mark.parametrize("draw", [random.random, np.random.random, lambda: torch.rand(())])
def test_a_draw_from_any_generator_of_the_host_is_noticed(draw: Callable[[], object]) -> None:
    before = CudaRecorder.host_state()
    assert CudaRecorder.host_state() == before
    draw()
    assert CudaRecorder.host_state() != before


def test_weights_that_lie_elsewhere_are_recorded_anew() -> None:
    """As after swapping them for their average by `parameter.data = ...`."""

    def losses(run: TrainingRun) -> list[float]:
        found = []
        for out in run.steps():
            found.append(out.loss.item())
            if out.global_step == 5:
                for parameter in run.model.parameters():
                    parameter.data = parameter.data.clone()
        return found

    expected = losses(make_run(collate_fn=dense_collate, num_train_epochs=1))
    run, recorder = with_graphs(make_run(collate_fn=dense_collate, num_train_epochs=1))
    assert losses(run) == expected
    assert recorder.num_run == 3  # two items, two items after the swap, one item


@pytest.mark.parametrize(
    ("limit", "value", "counts"),
    [
        ("MOST_GRAPHS", 1, (5, 1, 3)),  # the first "plain" and every "branch" run
        ("MOST_SHAPES", 1, (8, 0, 0)),  # each kind makes the other one forgotten
    ],
)
def test_what_is_kept_of_shapes_has_a_limit(
    limit: str, value: int, counts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [[make_batch(2, 2, kind, 0)] for kind in ["plain", "branch"] * 4]
    expected, _ = train(steps, "sgd", False)
    monkeypatch.setattr(f"qa.engine.graphs.{limit}", value)
    found, recorder = train(steps, "sgd", True)
    assert list(state_differences(found, expected, "steps")) == []
    assert (recorder.num_run, recorder.num_recorded, recorder.num_replayed) == counts


def test_a_loss_that_is_not_finite_is_found_in_a_replay() -> None:
    steps = [[make_batch(2, 2, "plain", seed)] for seed in range(5)]
    steps[3][0]["y"][0] = float("inf")
    (reported, *_), recorder = train(steps, "adamw-fused", True)
    assert recorder.num_replayed == 4
    check = NonfiniteCheck(CPU, scales_loss=False)
    for step, (loss, grad_norm, _) in enumerate(reported, start=1):
        check.record(step, loss, grad_norm)
    with pytest.raises(RunStopped, match="the loss is not finite since step 4"):
        check.check(0.1)


def test_phases_with_and_without_graphs() -> None:
    for run, names in (
        (make_run(num_train_epochs=1), {"forward", "backward"}),
        (with_graphs(make_run(num_train_epochs=1))[0], {"forward_backward"}),
    ):
        list(run.steps())
        assert run.clock.compute().keys() == {"data", "optimizer"} | names


@pytest.mark.parametrize(("precision", "reason"), [("fp32", "cpu"), ("fp16", "cpu")])
def test_graphs_that_cannot_be_are_off_with_a_notice(precision: str, reason: str) -> None:
    with pytest.warns(Notice, match=f"cuda_graphs: off, since the device is {reason}"):
        run = make_run(cuda_graphs="auto", precision=precision)
    assert run.graphs is None


def test_without_being_asked_for_there_are_none_and_no_notice(
    recwarn: pytest.WarningsRecorder,
) -> None:
    assert make_run().graphs is None
    assert not [each for each in recwarn if each.category is Notice]


def test_another_word_is_refused() -> None:
    with pytest.raises(UserError, match="cuda_graphs must be one of off, auto, not 'on'"):
        make_run(cuda_graphs="on")
