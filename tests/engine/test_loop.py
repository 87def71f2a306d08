"""TrainingRun: how many steps, what each reports, and resuming bit for bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.regression import (
    MICRO_BATCHES,
    collate,
    make_dataset,
    make_model,
    make_run,
    order,
    squared_error,
)
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from qa.engine import (
    CheckpointWriter,
    Notice,
    TrainConfig,
    TrainingRun,
    UserError,
    load_checkpoint,
    save_checkpoint,
    seed_everything,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Figures:
    """What a step reported, as numbers."""

    global_step: int
    epoch: float
    loss: float
    grad_norm: float
    learning_rate: float
    counts: dict[str, int]
    end_of_epoch: bool | None
    is_last: bool
    terms: dict[str, float]


def noisy_collate(items: list[torch.Tensor]) -> dict[str, Any]:
    """Draws from every generator that a run has to restore, apart from dropout's."""
    batch = collate(items)
    noise = random.random() + np.random.random() + torch.rand(())
    return {**batch, "x": batch["x"] + 0.1 * noise}


def figures(run: TrainingRun) -> Iterator[Figures]:
    for out in run.steps():
        numbers = {"loss": out.loss.item(), "grad_norm": out.grad_norm.item()}
        terms = {name: term.item() for name, term in out.terms.items()}
        yield Figures(**{**vars(out), **numbers, "terms": terms})


def train(run: TrainingRun) -> tuple[list[Figures], dict[str, torch.Tensor]]:
    """Train a run; return its steps and its last weights.

    Runs share the global generators, so a run is made and trained before the next one is made.
    """
    return list(figures(run)), weights(run)


def weights(run: TrainingRun) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def assert_same_weights(run: TrainingRun, expected: dict[str, torch.Tensor]) -> None:
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(
    ("accumulation", "epochs", "max_steps", "expected"),
    [
        (1, 1, None, 7),
        (1, 3, None, 21),
        (3, 2, None, 6),  # 3 + 3 + 1 micro-batches make three steps of an epoch
        (7, 2, None, 2),
        (50, 2, None, 2),
        (3, 2, 1, 1),
        (3, 1, 5, 5),  # max_steps counts, whatever the epochs
        (1, 9, 10, 10),
    ],
)
def test_number_of_steps(
    accumulation: int, epochs: int, max_steps: int | None, expected: int
) -> None:
    run = make_run(
        gradient_accumulation_steps=accumulation, num_train_epochs=epochs, max_steps=max_steps
    )
    steps = list(figures(run))
    assert run.total_steps == expected
    assert [step.global_step for step in steps] == list(range(1, expected + 1))
    assert [step.is_last for step in steps] == [False] * (expected - 1) + [True]
    assert list(run.steps()) == []  # it is over


@pytest.mark.parametrize(
    ("accumulation", "epochs", "expected"),
    [(1, 0.5, 4), (1, 1.5, 11), (3, 1.5, 5), (3, 0.01, 1), (1, 2.0, 14)],
)
def test_parts_of_epochs_round_up_as_transformers_does(
    accumulation: int, epochs: float, expected: int
) -> None:
    run = make_run(gradient_accumulation_steps=accumulation, num_train_epochs=epochs)
    steps = list(figures(run))
    assert run.total_steps == len(steps) == expected
    assert steps[-1].is_last


@pytest.mark.parametrize("value", [3.5, 4.0, "4", True, np.int64(4)])
@pytest.mark.parametrize(
    "name", ["max_steps", "warmup_steps", "gradient_accumulation_steps", "seed", "num_workers"]
)
def test_counts_are_whole_numbers(name: str, value: Any) -> None:
    """After 3.5 steps no step would be the last one, at which everything is due."""
    with pytest.raises(UserError, match=f"{name} must be a whole number"):
        make_run(**{name: value})


@pytest.mark.parametrize("value", [None, "1e-3", True, [0.1]])
@pytest.mark.parametrize(
    "name",
    ["learning_rate", "weight_decay", "max_grad_norm", "adam_beta1", "adam_epsilon"]
    + ["warmup_ratio", "num_train_epochs"],
)
def test_amounts_are_numbers(name: str, value: Any) -> None:
    """YAML reads 1e-3 as a text."""
    with pytest.raises(UserError, match=f"{name} must be a number, not"):
        make_run(**{name: value})


def test_an_amount_may_be_a_number_of_numpy() -> None:
    assert make_run(learning_rate=np.float32(0.5)).config.learning_rate == 0.5


@pytest.mark.parametrize("value", ["no", 1, None])
def test_a_switch_is_on_or_off(value: Any) -> None:
    with pytest.raises(UserError, match="deterministic must be True or False"):
        make_run(deterministic=value)


def test_epoch_and_end_of_epoch_with_a_shorter_tail() -> None:
    steps = list(figures(make_run(gradient_accumulation_steps=3)))
    expected = [3 / 7, 6 / 7, 1, 1 + 3 / 7, 1 + 6 / 7, 2]
    assert [step.epoch for step in steps] == pytest.approx(expected, rel=1e-15)
    assert [step.end_of_epoch for step in steps] == [False, False, True] * 2


def test_counts_are_summed_over_the_micro_batches() -> None:
    steps = list(figures(make_run(gradient_accumulation_steps=3, num_train_epochs=1)))
    sizes = [6, 6, 1]
    assert [step.counts for step in steps] == [
        {"num_items": size, "num_values": 5 * size} for size in sizes
    ]


def test_is_due() -> None:
    run = make_run(gradient_accumulation_steps=3)
    due: dict[Any, list[int]] = {1: [], 4: [], "2": [], "epoch": [], None: []}
    for out in run.steps():
        for every, steps in due.items():
            if out.is_due(every):
                steps.append(out.global_step)
    # Everything is due at the last step.
    assert due == {1: [1, 2, 3, 4, 5, 6], 4: [4, 6], "2": [2, 4, 6], "epoch": [3, 6], None: []}


@pytest.mark.parametrize("every", [0, -1, "0", "epochs", 2.5, True, ""])
def test_what_says_nothing_of_how_often(every: Any) -> None:
    out = next(make_run().steps())
    with pytest.raises(UserError, match="says how often something is due"):
        out.is_due(every)


def test_each_epoch_trains_on_its_own_order() -> None:
    seen: list[list[int]] = []

    def loss_fn(model: nn.Module, batch: Any) -> torch.Tensor:
        seen.append(batch["y"].tolist())
        return squared_error(model, batch)

    run = make_run(gradient_accumulation_steps=3)
    run.loss_fn = loss_fn
    list(run.steps())
    targets = [row[4].item() for row in make_dataset()]
    assert seen == [[targets[i] for i in b] for epoch in (0, 1) for b in order(epoch)]


def test_learning_rates_are_those_of_transformers() -> None:
    run = make_run(learning_rate=0.1, warmup_ratio=0.3)  # 14 steps, 5 of them warm-up
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = get_cosine_schedule_with_warmup(optimizer, 6, 15)
    for step, out in enumerate(run.steps()):
        assert out.learning_rate == 0.1 * schedule.lr_lambdas[0](step + 1)  # not its rate of 0


def test_a_run_of_one_step_trains() -> None:
    run = make_run(learning_rate=0.1, warmup_ratio=0.1, max_steps=1)
    before = weights(run)
    (out,) = run.steps()
    assert out.learning_rate == 0.05
    assert all(not torch.equal(value, before[name]) for name, value in weights(run).items())


@pytest.mark.parametrize("steps", [0, 1, 3, 20])
def test_warm_up_of_a_number_of_steps(steps: int) -> None:
    """Whatever the ratio; more steps than the run has are cut off."""
    settings: dict[str, Any] = {"learning_rate": 0.1, "lr_scheduler": "constant"}
    run = make_run(**settings, warmup_steps=steps, warmup_ratio=0.5)
    rates = [run.learning_rate(step) for step in range(run.total_steps)]
    assert [rate == 0.1 for rate in rates] == [step >= steps for step in range(14)]


def test_a_warm_up_that_the_run_does_not_reach_is_told() -> None:
    with pytest.warns(Notice, match="the warm-up has 14 steps and the run 14"):
        make_run(warmup_steps=14, num_train_epochs=2)


def test_settings_of_adam_are_torchs() -> None:
    defaults = torch.optim.AdamW([torch.zeros(1)]).defaults
    cases: tuple[tuple[dict[str, Any], tuple[float, float], float], ...] = (
        ({}, defaults["betas"], defaults["eps"]),
        ({"adam_beta1": 0.8, "adam_beta2": 0.98, "adam_epsilon": 1e-6}, (0.8, 0.98), 1e-6),
    )
    for settings, betas, epsilon in cases:
        groups = make_run(**settings).optimizers[0].param_groups
        assert [(group["betas"], group["eps"]) for group in groups] == [(betas, epsilon)] * 2


@pytest.mark.parametrize(
    ("accumulation", "num_workers", "precision"),
    [(1, 0, "fp32"), (3, 0, "fp32"), (3, 0, "bf16"), (3, 2, "fp32")],
)
def test_resuming_at_any_step_equals_not_stopping(
    tmp_path: Path, accumulation: int, num_workers: int, precision: str
) -> None:
    settings: dict[str, Any] = {
        "gradient_accumulation_steps": accumulation,
        "num_workers": num_workers,
        "precision": precision,
        # Randomness inside a worker process is not the run's to restore.
        "collate_fn": noisy_collate if num_workers == 0 else collate,
    }
    expected, last = train(make_run(**settings))

    saving = make_run(**settings)
    for step in figures(saving):
        save_checkpoint(tmp_path, step.global_step, saving.state_dict(), {})
    assert_same_weights(saving, last)  # saving changes nothing

    for stop in range(1, len(expected) + 1):
        resumed = make_run(model_seed=100 + stop, **settings)
        resumed.load_state_dict(load_checkpoint(tmp_path / f"step-{stop:08d}"))
        assert list(figures(resumed)) == expected[stop:], f"stopped after step {stop}"
        assert_same_weights(resumed, last)


@pytest.mark.parametrize("stop", [3, 7])
def test_a_run_that_was_really_broken_off_resumes_with_workers(tmp_path: Path, stop: int) -> None:
    """Inside an epoch and at its end; workers have prepared the next batches by then."""
    expected, last = train(make_run(num_workers=2))
    broken_off = make_run(num_workers=2)
    for step in figures(broken_off):
        if step.global_step == stop:
            save_checkpoint(tmp_path, stop, broken_off.state_dict(), {})
            break
    resumed = make_run(model_seed=99, num_workers=2)
    resumed.load_state_dict(load_checkpoint(tmp_path / f"step-{stop:08d}"))
    assert list(figures(resumed)) == expected[stop:]
    assert_same_weights(resumed, last)


def test_workers_do_not_change_the_result() -> None:
    expected, last = train(make_run())
    helped = make_run(num_workers=2)
    assert list(figures(helped)) == expected
    assert_same_weights(helped, last)


def test_a_run_is_determined_by_its_seed() -> None:
    expected, last = train(make_run())
    again = make_run()
    assert list(figures(again)) == expected
    assert_same_weights(again, last)
    assert list(figures(make_run(model_seed=1))) != expected


def test_an_evaluation_between_steps_changes_nothing() -> None:
    expected, last = train(make_run())
    evaluated = make_run()
    rows = torch.stack(make_dataset())
    seen = []
    for step in figures(evaluated):
        seen.append(step)
        evaluated.model.eval()
        with torch.inference_mode():
            evaluated.model(rows[:, :4])
    assert seen == expected
    assert_same_weights(evaluated, last)


def test_dropout_is_on_while_training() -> None:
    """Otherwise the tests above would prove less: dropout draws from the restored generators."""
    losses = set()
    for seed in (0, 1, 2):
        run = make_run()
        torch.manual_seed(seed)
        losses.add(next(figures(run)).loss)
    assert len(losses) == 3


@pytest.mark.parametrize(("before", "after"), [("fp32", "fp16"), ("fp16", "fp32")])
def test_a_run_goes_on_in_another_precision(before: str, after: str) -> None:
    """The precision "auto" may mean another format on the machine that resumes."""
    run = make_run(precision=before)
    next(run.steps())
    state = run.state_dict()
    resumed = make_run(precision=after)
    resumed.load_state_dict(state)
    assert [step.global_step for step in figures(resumed)] == list(range(2, 15))


class Counting(nn.Linear):
    """A layer with a number among its state, by torch's own `get_extra_state`."""

    forwards = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.forwards += 1
        return super().forward(x) * (1 + 0.01 * self.forwards)

    def get_extra_state(self) -> Any:
        return {"forwards": self.forwards}

    def set_extra_state(self, state: Any) -> None:
        self.forwards = state["forwards"]


def test_what_a_layer_keeps_besides_tensors_goes_on(tmp_path: Path) -> None:
    def counting() -> TrainingRun:
        torch.manual_seed(0)
        config = TrainConfig(precision="fp32", device="cpu", learning_rate=0.05)
        model = Counting(4, 1)
        return TrainingRun(model, squared_error, make_dataset(), order, collate, config)

    run, losses = counting(), []
    for out in run.steps():
        losses.append(float(out.loss))
        if out.global_step == 5:
            save_checkpoint(tmp_path, 5, run.state_dict(), {})
    resumed = counting()
    resumed.load_state_dict(load_checkpoint(tmp_path / "step-00000005"))
    assert [float(out.loss) for out in resumed.steps()] == losses[5:]
    for name, value in run.model.named_parameters():
        assert torch.equal(resumed.model.get_parameter(name), value), name


@pytest.mark.parametrize(
    ("other", "named"), [(make_model(9), "0.bias"), (nn.Sequential(nn.Linear(4, 1)), "0.bias")]
)
def test_a_checkpoint_of_another_model_is_refused(other: nn.Module, named: str) -> None:
    """The message names the first parameter that differs, and nothing has been changed."""
    run = make_run()
    before = weights(run)
    state = {**run.state_dict(), "model": other.state_dict()}
    with pytest.raises(UserError, match=rf"\b{named}\b") as error:
        run.load_state_dict(state)
    assert "\n" not in str(error.value)
    assert_same_weights(run, before)


def test_a_checkpoint_with_a_missing_parameter_is_refused() -> None:
    run = make_run()
    state = run.state_dict()
    del state["model"]["4.weight"]
    with pytest.raises(UserError, match=r"4\.weight is absent there"):
        run.load_state_dict(state)


class Remembering(nn.Linear):
    """Has a state beside its tensors."""

    remembered: Any = None

    def get_extra_state(self) -> Any:
        return {"note": self.remembered}

    def set_extra_state(self, state: Any) -> None:
        self.remembered = state["note"]


def test_a_model_may_have_a_state_that_is_no_tensor(tmp_path: Path) -> None:
    def make() -> TrainingRun:
        config = TrainConfig(device="cpu", max_steps=2)
        return TrainingRun(Remembering(4, 1), squared_error, make_dataset(), order, collate, config)

    saved, resumed = make(), make()
    saved.model.set_extra_state({"note": "a word"})
    save_checkpoint(tmp_path, 1, saved.state_dict(), {})
    resumed.load_state_dict(load_checkpoint(tmp_path / "step-00000001"))
    assert resumed.model.get_extra_state() == {"note": "a word"}


class Renamed(nn.Linear):
    """Has other names since its version 2, and mends those of older states, as some models do."""

    _version = 2
    loses = False

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        if metadata.get("version") != 2 or self.loses:
            state[f"{prefix}kernel"] = state.pop(f"{prefix}weight")
        super()._load_from_state_dict(state, prefix, metadata, *rest)


def renamed(seed: int, loses: bool = False) -> TrainingRun:
    seed_everything(seed)
    model = nn.Sequential(Renamed(4, 1))
    vars(model[0])["loses"] = loses
    config = TrainConfig(device="cpu", max_steps=2)
    return TrainingRun(model, squared_error, make_dataset(), order, collate, config)


@pytest.mark.parametrize("background", [False, True])
def test_versions_of_modules_are_told_at_a_resume(background: bool, tmp_path: Path) -> None:
    saved, resumed = renamed(0), renamed(1)
    writer = CheckpointWriter(tmp_path, None, background)
    writer.save(1, {"run": saved.state_dict(), "weights": saved.weights()}, {})
    writer.wait()
    state = load_checkpoint(tmp_path / "step-00000001")
    resumed.load_state_dict(state["run"])
    as_people_do = renamed(2).model
    as_people_do.load_state_dict(state["weights"])
    for model in (resumed.model, as_people_do):
        assert torch.equal(model[0].weight, saved.model[0].weight)  # type: ignore[index]


def test_weights_that_a_model_drops_at_a_resume_are_named() -> None:
    with pytest.raises(UserError, match=r"1 weights of the checkpoint were not loaded \(0.weight"):
        renamed(1, loses=True).load_state_dict(renamed(0).state_dict())


class Quantised(nn.Linear):
    """Saves more than it asks for, as bitsandbytes' layers do."""

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight.absmax"] = torch.ones(2)


class Silent(nn.Sequential):
    """Returns nothing, as who overrides it may forget to."""

    def load_state_dict(self, *arguments: Any, **settings: Any) -> Any:
        super().load_state_dict(*arguments, **settings)


class Scaled(nn.Linear):
    """Changes the values of older versions, under the same names."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        if metadata.get("version", 1) < 2:
            state[f"{prefix}weight"] = 10 * state[f"{prefix}weight"]
        super()._load_from_state_dict(state, prefix, metadata, *rest)


def make_plain(model: nn.Module) -> TrainingRun:
    config = TrainConfig(device="cpu", max_steps=2)
    return TrainingRun(model, squared_error, make_dataset(), order, collate, config)


@pytest.mark.parametrize("make", [lambda: Quantised(4, 1), lambda: Silent(nn.Linear(4, 1))])
def test_models_that_save_more_or_return_nothing_are_resumed(make: Any) -> None:
    saved, resumed = make_plain(make()), make_plain(make())
    resumed.load_state_dict(saved.state_dict())
    pairs = zip(saved.model.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize(("version", "factor"), [(1, 10), (2, 1)])
def test_values_of_an_older_version_are_changed_as_the_module_says(
    version: int, factor: int
) -> None:
    state, resumed = make_plain(Scaled(4, 1)).state_dict(), make_plain(Scaled(4, 1))
    expected = factor * state["model"]["weight"].clone()
    state["model"]._metadata[""]["version"] = version
    resumed.load_state_dict(state)
    assert torch.equal(resumed.model.get_parameter("weight"), expected)


def test_a_state_that_is_none_of_a_run_is_refused() -> None:
    with pytest.raises(UserError, match="this is no state of a run.*: it has run, best"):
        renamed(0).load_state_dict({"run": {}, "best": {}})


def test_a_checkpoint_of_a_longer_epoch_is_refused() -> None:
    run = make_run()
    with pytest.raises(UserError, match="data or batch size changed"):
        run.load_state_dict({**run.state_dict(), "position": MICRO_BATCHES + 1})


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        TrainingRun(
            make_model(), squared_error, [], lambda epoch: [], collate, TrainConfig(device="cpu")
        )


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="nonsense") as error:
        make_run(device="nonsense")
    assert "\n" not in str(error.value)


def test_a_part_of_a_model_may_have_any_name() -> None:
    """Also that under which DDP keeps the model it wraps."""
    model = make_model()
    model.module = "encoder"  # type: ignore[assignment]
    run = TrainingRun(model, squared_error, make_dataset(), order, collate, make_run().config)
    assert next(iter(run.steps())).global_step == 1
