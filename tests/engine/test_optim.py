"""Optimizers that are passed in: their rates, what is clipped, and resuming them bit for bit."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.regression import collate, make_dataset, make_model, order, squared_error
from torch import nn
from torch.optim import LBFGS, SGD, Adafactor, AdamW, Muon, Optimizer

from qa.engine import (
    Notice,
    TrainConfig,
    TrainingRun,
    UserError,
    load_checkpoint,
    save_checkpoint,
    seed_everything,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class Counting(Optimizer):
    """Counts its steps in its groups, as schedule-free and Prodigy do, and slows down by them."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, {"lr": lr, "k": 0, "weight_sum": 0.0})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["k"] += 1
            group["weight_sum"] += group["lr"] ** 2
            for parameter in group["params"]:
                if parameter.grad is not None:
                    rate = group["lr"] / group["k"] / (1 + group["weight_sum"])
                    parameter.data.add_(parameter.grad, alpha=-rate)


def muon_and_adamw(model: nn.Module) -> list[Optimizer]:
    matrices = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim != 2]
    return [Muon(matrices, lr=0.02), AdamW(rest, lr=0.05)]


def schedule_free(model: nn.Module) -> Optimizer:
    schedulefree = pytest.importorskip("schedulefree")
    optimizer: Any = schedulefree.AdamWScheduleFree(model.parameters(), lr=0.05, warmup_steps=3)
    optimizer.train()
    made: Optimizer = optimizer
    return made


def prodigy(model: nn.Module) -> Optimizer:
    made: Optimizer = pytest.importorskip("prodigyopt").Prodigy(model.parameters(), lr=1.0)
    return made


OPTIMIZERS: dict[str, Callable[[nn.Module], Any]] = {
    "counting": lambda model: Counting(model.parameters(), lr=0.5),
    "sgd": lambda model: SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True),
    "adafactor": lambda model: Adafactor(model.parameters(), lr=0.05),
    "muon and adamw": muon_and_adamw,
    "schedule-free": schedule_free,
    "prodigy": prodigy,
}


def min_rate(step: int, total: int) -> float:
    return (step + 1) / 3 if step < 3 else 0.1 + 0.9 * math.cos(step / total)


def make_run(optimizer: Any, model_seed: int = 0, schedule: Any = min_rate) -> TrainingRun:
    seed_everything(model_seed)
    config = TrainConfig(precision="fp32", device="cpu", gradient_accumulation_steps=3)
    return TrainingRun(
        make_model(),
        squared_error,
        make_dataset(),
        order,
        collate,
        config,
        optimizer=optimizer,
        schedule=schedule,
    )


def change_groups(run: TrainingRun) -> None:
    """What the body of a loop may do after a step: momentum in a cycle, a decay that grows."""
    for group in (group for optimizer in run.optimizers for group in optimizer.param_groups):
        if "momentum" in group:
            group["momentum"] = 0.9 - 0.01 * run.global_step
        if group.get("weight_decay"):
            group["weight_decay"] = 0.01 * run.global_step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_resuming_at_any_step_equals_not_stopping(name: str, tmp_path: Path) -> None:
    """The resumed run's model begins with other weights than the saved one's."""
    expected, whole = [], make_run(OPTIMIZERS[name])
    for out in whole.steps():
        expected.append((float(out.loss), float(out.grad_norm)))
        change_groups(whole)
        save_checkpoint(tmp_path, out.global_step, whole.state_dict(), {})
    for stop in range(1, whole.total_steps):
        resumed, found = make_run(OPTIMIZERS[name], model_seed=100 + stop), []
        resumed.load_state_dict(load_checkpoint(tmp_path / f"step-{stop:08d}"))
        for out in resumed.steps():
            found.append((float(out.loss), float(out.grad_norm)))
            change_groups(resumed)
        assert found == expected[stop:], stop
        for key, value in whole.model.state_dict().items():
            assert torch.equal(resumed.model.state_dict()[key], value), (stop, key)


def test_rates_are_peaks_times_the_schedule() -> None:
    run = make_run(muon_and_adamw)
    for step, out in enumerate(run.steps()):
        factor = min_rate(step, run.total_steps)
        rates = [o.param_groups[0]["lr"] for o in run.optimizers]
        assert rates == [0.02 * factor, 0.05 * factor]
        assert out.learning_rate == run.learning_rate(step) == rates[0]


def test_a_schedule_may_return_a_number_of_numpy(tmp_path: Path) -> None:
    """As it does with np.cos; in a group it would be in no checkpoint."""
    run = make_run(muon_and_adamw, schedule=lambda step, total: np.float32(0.5))
    next(run.steps())
    save_checkpoint(tmp_path, 1, run.state_dict(), {})
    assert [o.param_groups[0]["lr"] for o in run.optimizers] == [0.01, 0.025]


def test_a_group_that_is_added_later_follows_too() -> None:
    def lower(model: nn.Module) -> Optimizer:
        model[0].requires_grad_(False)  # type: ignore[index]
        return SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)

    run = make_run(lower, schedule=lambda step, total: 1 / (1 + step))
    thawed = run.model[0].requires_grad_()  # type: ignore[index]
    for step, _ in enumerate(run.steps()):
        rates = [group["lr"] for group in run.optimizers[0].param_groups]
        factor = 1 / (1 + step)
        assert rates == [0.1 * factor, 0.4 * factor][: len(rates)]
        if step == 1:
            run.optimizers[0].add_param_group({"params": list(thawed.parameters()), "lr": 0.4})
    assert len(rates) == 2


def test_peak_and_changed_decay_are_those_of_this_run() -> None:
    """Whatever else is in the groups is the saved run's."""

    def sgd(lr: float, decay: float) -> Any:
        return lambda model: SGD(model.parameters(), lr=lr, weight_decay=decay, momentum=0.5)

    saved = make_run(sgd(0.1, 0.3))
    next(saved.steps())
    saved.optimizers[0].param_groups[0] |= {"weight_decay": 0.2, "momentum": 0.7}
    for decay, expected in ((0.3, 0.2), (0.4, 0.4)):  # unchanged: as the loop's body left it
        run = make_run(sgd(0.8, decay))
        run.load_state_dict(saved.state_dict())
        (group,) = run.optimizers[0].param_groups
        assert (group["weight_decay"], group["momentum"]) == (expected, 0.7)
        assert run.learning_rate(5) == 0.8 * min_rate(5, run.total_steps)


def test_changed_moments_are_those_of_this_run() -> None:
    """Those that did not change are as the loop's body left them; so are an older checkpoint's."""

    def adam(betas: tuple[float, float], eps: float) -> Any:
        return lambda model: AdamW(model.parameters(), betas=betas, eps=eps)

    saved = make_run(adam((0.9, 0.999), 1e-8))
    next(saved.steps())
    saved.optimizers[0].param_groups[0]["betas"] = (0.8, 0.999)
    state = saved.state_dict()
    for betas, eps, expected in (
        ((0.9, 0.999), 1e-8, ((0.8, 0.999), 1e-8)),
        ((0.9, 0.95), 1e-6, ((0.9, 0.95), 1e-6)),
    ):
        run = make_run(adam(betas, eps))
        run.load_state_dict(copy.deepcopy(state))
        (group,) = run.optimizers[0].param_groups
        assert (group["betas"], group["eps"]) == expected
    for group in state["optimizer"]["param_groups"]:
        del group["initial_betas"], group["initial_eps"]
    run = make_run(adam((0.9, 0.95), 1e-8))
    run.load_state_dict(state)
    assert run.optimizers[0].param_groups[0]["betas"] == (0.8, 0.999)
    newest = make_run(adam((0.9, 0.9), 1e-8))  # which are this run's again
    newest.load_state_dict(copy.deepcopy(run.state_dict()))
    assert newest.optimizers[0].param_groups[0]["betas"] == (0.9, 0.9)


def test_what_a_person_puts_into_a_group_stays() -> None:
    """Timm calls its factors of layers `lr_scale`, as older checkpoints called something else."""
    run = make_run(lambda model: SGD([{"params": model.parameters(), "lr_scale": 0.5}], lr=0.1))
    next(run.steps())
    run.load_state_dict(copy.deepcopy(run.state_dict()))
    assert run.optimizers[0].param_groups[0]["lr_scale"] == 0.5


def test_one_optimizer_keeps_the_format_and_an_older_one_is_read() -> None:
    """Older checkpoints have, instead of the peak, `lr_scale`; rates are this run's anyway."""
    run = make_run(None, schedule=None)
    list(zip(range(2), run.steps(), strict=False))
    state = run.state_dict()
    assert state["optimizer"].keys() == {"state", "param_groups"}
    for group in state["optimizer"]["param_groups"]:
        del group["initial_lr"], group["initial_weight_decay"]
        group["lr_scale"] = 1.0
    resumed = make_run(None, model_seed=7, schedule=None)
    resumed.load_state_dict(state)
    assert "lr_scale" not in resumed.optimizers[0].param_groups[0]
    list(resumed.steps())
    whole = make_run(None, schedule=None)
    list(whole.steps())
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("optimizer", "told"),
    [
        (lambda model: None, "torch's optimizers, not NoneType"),
        (lambda model: [SGD(model.parameters(), lr=1.0), "adam"], "torch's optimizers, not str"),
        (SGD([torch.zeros(1)], lr=1.0), "a function of the model, not torch.optim.sgd.SGD"),
        (lambda model: [SGD(model.parameters(), lr=1.0)] * 2, "two optimizers have the same"),
        (lambda model: LBFGS(model.parameters()), "LBFGS needs a closure"),
        (
            lambda model: SGD([*model.parameters(), torch.zeros(1, requires_grad=True)], lr=1.0),
            "has 1 parameters that the model has not",
        ),
    ],
)
def test_what_is_no_optimizer_is_refused(optimizer: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        make_run(optimizer)


def test_a_schedule_may_be_numpy_s(tmp_path: Path) -> None:
    run = make_run(None, schedule=lambda step, total: np.cos(step / total))
    for out in run.steps():
        save_checkpoint(tmp_path, out.global_step, run.state_dict(), {})
        assert out.learning_rate == 3e-5 * math.cos((out.global_step - 1) / run.total_steps)


def test_what_no_optimizer_has_is_told() -> None:
    with pytest.warns(Notice, match=r"2 parameters .* in no optimizer: 0\.weight, 0\.bias"):
        make_run(lambda model: SGD([*model.parameters()][2:], lr=1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_run(muon_and_adamw)


@pytest.mark.parametrize("other", ["sgd", "muon and adamw"])
def test_a_checkpoint_of_other_optimizers_is_refused_and_changes_nothing(other: str) -> None:
    state = make_run(None).state_dict()
    run = make_run(OPTIMIZERS[other])
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    with pytest.raises(UserError, match="optimizer") as error:
        run.load_state_dict({**state, "position": 2})
    assert "\n" not in str(error.value)
    assert run.micro_batches.position == 0
    for name, value in before.items():
        assert torch.equal(run.model.state_dict()[name], value)


def test_what_thaws_is_neither_clipped_nor_does_its_gradient_grow() -> None:
    """The norm is that of what the optimizer has, and the weights learn as if it were frozen."""

    def head_only(model: nn.Module) -> Optimizer:
        model[0].requires_grad_(False)  # type: ignore[index]
        return SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)

    frozen, thawed = make_run(head_only), make_run(head_only)
    seed_everything(1)
    expected = [(float(out.loss), float(out.grad_norm)) for out in frozen.steps()]
    thawed.model[0].requires_grad_()  # type: ignore[index]
    seed_everything(1)
    found = []
    for out in thawed.steps():
        found.append((float(out.loss), float(out.grad_norm)))
        assert all(p.grad is None for p in thawed.model.parameters())
    assert found == expected


def test_a_gradient_that_another_model_left_here_is_dropped() -> None:
    """As in a GAN, whose generator learns through the discriminator."""
    expected = [float(out.grad_norm) for out in make_run(muon_and_adamw).steps()]
    found, run = [], make_run(muon_and_adamw)
    for out in run.steps():
        found.append(float(out.grad_norm))
        for parameter in run.model.parameters():
            parameter.grad = torch.ones_like(parameter)
    assert found == expected


class Waves(nn.Module):
    """Complex weights, of which torch has no fused step."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(4, 1, dtype=torch.complex64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.to(torch.complex64) @ self.weights).abs()


def test_adamw_takes_complex_weights() -> None:
    config = TrainConfig(precision="fp32", device="cpu", learning_rate=0.05, weight_decay=0)
    found = [
        [
            float(out.loss)
            for out in TrainingRun(
                Waves(), squared_error, make_dataset(), order, collate, config, optimizer=optimizer
            ).steps()
        ]
        for optimizer in (None, lambda model: AdamW(model.parameters(), lr=0.05, weight_decay=0))
    ]
    assert found[0] == found[1]


class Master(Optimizer):
    """SGD on an fp32 copy of the weights, which counts what it did in whole numbers."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight not in self.state:
                    steps = torch.tensor(2**24)  # of which fp32 does not know the next number
                    masters = [weight.float()]  # in a list, as preconditioners are
                    self.state[weight] = {"masters": masters, "steps": steps}
                state = self.state[weight]
                state["steps"] += 1
                state["masters"][0] -= group["lr"] * weight.grad.float()
                weight.copy_(state["masters"][0])


def in_bf16(seed: int) -> TrainingRun:
    seed_everything(seed)

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        return squared_error(model, {"x": batch["x"].bfloat16(), "y": batch["y"].bfloat16()})

    config = TrainConfig(precision="fp32", device="cpu", learning_rate=1e-3, num_train_epochs=1)
    model = make_model().bfloat16()
    rest = make_dataset(), order, collate, config
    return TrainingRun(model, loss_fn, *rest, optimizer=lambda m: Master(m.parameters(), lr=1e-3))


def test_an_optimizer_keeps_its_own_formats() -> None:
    """Torch casts what it loads to the format of the weights."""
    run = in_bf16(0)
    next(run.steps())
    state = copy.deepcopy(run.state_dict())
    expected = [float(out.loss) for out in run.steps()]
    resumed = in_bf16(1)
    resumed.load_state_dict(state)
    for own in resumed.optimizers[0].state.values():
        assert (own["masters"][0].dtype, int(own["steps"])) == (torch.float32, 2**24 + 1)
    assert [float(out.loss) for out in resumed.steps()] == expected
    ends = [each.optimizers[0].state_dict()["state"] for each in (run, resumed)]
    for one, other in zip(*(end.values() for end in ends), strict=True):
        assert torch.equal(one["masters"][0], other["masters"][0])
    before = state["optimizer"]["state"][0]  # still as it was
    assert (before["masters"][0].dtype, int(before["steps"])) == (torch.float32, 2**24 + 1)


class Sign(SGD):
    """Has the settings that Lion has, a part of AdamW's."""

    def __init__(self, params: Any) -> None:
        Optimizer.__init__(self, params, {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.0})


def adam_run() -> TrainingRun:
    return make_run(lambda model: torch.optim.AdamW(model.parameters()))


class Totals(SGD):
    """Counts its steps under a name, not under a parameter."""

    def step(self, closure: Any = None) -> Any:
        self.state.setdefault("all", {"steps": torch.tensor(0)})["steps"] += 1  # type: ignore[call-overload]
        return super().step(closure)


def test_a_state_in_memory_stays_as_it_is_whatever_its_optimizer_keeps() -> None:
    make = partial(make_run, lambda model: Totals(model.parameters(), lr=0.1))
    run = make()
    next(run.steps())
    state = copy.deepcopy(run.state_dict())
    ends = []
    for _ in range(2):
        resumed = make()
        resumed.load_state_dict(state)
        list(resumed.steps())
        ends.append(int(resumed.optimizers[0].state["all"]["steps"]))  # type: ignore[index]
    assert ends == [run.total_steps] * 2
    assert int(state["optimizer"]["state"]["all"]["steps"]) == 1


def test_an_optimizer_may_have_no_rate() -> None:
    class Own(SGD):
        def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
            Optimizer.__init__(self, params, defaults)

        def step(self, closure: Any = None) -> Any:
            return None

    for defaults in ({"lr": None}, {}):
        run = make_run(lambda model, own=defaults: Own(model.parameters(), own))
        assert all(math.isnan(out.learning_rate) for out in run.steps())
        assert math.isnan(run.learning_rate(0))


def test_no_optimizer_is_refused() -> None:
    with pytest.raises(UserError, match="optimizer returned none"):
        make_run(lambda model: [])


def test_a_checkpoint_of_another_kind_of_optimizer_is_one_line() -> None:
    state = make_run(lambda model: torch.optim.AdamW(model.parameters())).state_dict()
    with pytest.raises(UserError, match=r"this run's SGD: it has .*betas.* instead of .*momentum"):
        make_run(OPTIMIZERS["sgd"]).load_state_dict(state)
    for name in ("adafactor", "schedule-free", "counting"):
        for one, two in ((None, OPTIMIZERS[name]), (OPTIMIZERS[name], None)):
            single = make_run(one or (lambda model: torch.optim.AdamW(model.parameters())))
            other_run = make_run(two or (lambda model: torch.optim.AdamW(model.parameters())))
            with pytest.raises(UserError, match="is of another optimizer than this run's"):
                other_run.load_state_dict(single.state_dict())
    others = torch.optim.NAdam, torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.Adamax, Sign
    for other in others:  # some have a part of AdamW's settings and none of their own
        run = make_run(lambda model, kind=other: kind(model.parameters()))
        for given, saved_by in ((run, state), (adam_run(), run.state_dict())):
            with pytest.raises(UserError, match="is of another optimizer than this run's"):
                given.load_state_dict(saved_by)
    # A release may know a setting more, or one less; names of a person's own say nothing.
    saved = state["optimizer"]["param_groups"][0]
    older = {n: x for n, x in saved.items() if n != "decoupled_weight_decay"}
    for group in ({**saved, "new": 1}, older, {**older, "layer": 1, "swaps": 2}):
        newer = {**state, "optimizer": {**state["optimizer"], "param_groups": [group]}}
        make_run(lambda model: torch.optim.AdamW(model.parameters())).load_state_dict(newer)


class InterruptedOnce(SGD):
    calls = 0

    def step(self, closure: Any = None) -> Any:
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().step(closure)


def test_a_step_of_fp16_that_was_interrupted_can_be_made_again() -> None:
    seed_everything(0)
    config = TrainConfig(precision="fp16", device="cpu", num_train_epochs=2)
    rest = make_dataset(), order, collate, config
    sgd = lambda model: InterruptedOnce(model.parameters(), lr=1e-3)  # noqa: E731
    run = TrainingRun(make_model(), squared_error, *rest, optimizer=sgd)
    with pytest.raises(KeyboardInterrupt):
        list(run.steps())
    place = run.global_step, run.precision.scaler.get_scale()
    next(run.steps())
    assert (run.global_step - 1, run.precision.scaler.get_scale()) == place
    list(run.steps())
    assert run.is_finished
