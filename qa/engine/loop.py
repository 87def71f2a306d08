"""The training loop as a generator: the body of the loop stays in the caller's file."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from qa.engine.batch_order import Order
from qa.engine.config import TrainConfig
from qa.engine.data_workers import iterate
from qa.engine.device import local_device, resolve_device
from qa.engine.distributed import SINGLE_PROCESS, World
from qa.engine.errors import require
from qa.engine.full_state import load_state, model_state, optimizer_state
from qa.engine.optim import make_optimizer
from qa.engine.phase_clock import PhaseClock
from qa.engine.precision import Precision
from qa.engine.rng import rng_state, seed_everything, set_rng_state
from qa.engine.schedule import lr_factor, warmup_steps
from qa.engine.signals import ignore_stop_signals
from qa.engine.step import Batch, LossFn, train_step


@dataclass(frozen=True)
class StepOutput:
    """What one optimizer step did. The tensors are on the device: reading one is a host sync."""

    global_step: int  # optimizer steps made so far, this one included
    epoch: float  # epochs consumed so far
    loss: torch.Tensor  # () mean per item
    grad_norm: torch.Tensor  # () before clipping
    learning_rate: float
    counts: dict[str, int]  # every int of this process's micro-batches, summed: num_items and more
    end_of_epoch: bool
    is_last: bool

    def is_due(self, every: int | str | None) -> bool:
        """Whether something done every so many steps, or every "epoch", is due.

        At the last step everything is, so that nothing is left undone; None: never.
        """
        if every is None:
            return False
        on_time = self.end_of_epoch if every == "epoch" else self.global_step % int(every) == 0
        return on_time or self.is_last


class TrainingRun:
    """A model being trained; `steps()` yields after every optimizer step.

    model: moved to the configured device. loss_fn(model, batch): the summed loss of a batch.
    dataset: anything a DataLoader can index. order(epoch): that epoch's micro-batches as lists of
    indices, a pure function with the same number of micro-batches in every epoch.
    collate_fn(items): a batch, i.e. a dict of tensors and ints with `num_items` among the ints.
    world: the processes that train this model together; each of them makes a TrainingRun with the
    same arguments. An order's micro-batches are dealt out to them in turn, so the order of the data
    does not depend on their number. learning_rates: the peak rates of parameters whose names begin
    so, such as a new head's, instead of the configured one; they rise and fall with it.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFn,
        dataset: Any,
        order: Order,
        collate_fn: Callable[[list[Any]], Batch],
        config: TrainConfig,
        world: World = SINGLE_PROCESS,
        learning_rates: Mapping[str, float] | None = None,
    ) -> None:
        self.config = config
        self.world = world
        self.device = resolve_device(local_device(config.device))
        self.precision = Precision(config.precision, self.device)
        self.model = model.to(self.device)
        self.clock = PhaseClock(self.device)
        self.synced_model = world.wrap(self.model, self.device, config.sharding)
        self.loss_fn = loss_fn
        self.dataset = dataset
        self.order = order
        self.collate_fn = collate_fn
        self.optimizer = make_optimizer(
            model, config.learning_rate, config.weight_decay, learning_rates
        )
        self.micro_batches_per_epoch = len(order(0))
        require(
            self.micro_batches_per_epoch, "there is nothing to train on: the first epoch is empty"
        )
        self.micro_batches_per_step = config.gradient_accumulation_steps * world.size
        self.steps_per_epoch = math.ceil(self.micro_batches_per_epoch / self.micro_batches_per_step)
        self.total_steps = config.max_steps or self.steps_per_epoch * config.num_train_epochs
        self.warmup_steps = warmup_steps(self.total_steps, config.warmup_ratio)
        self.global_step = 0
        self.epoch = 0  # the epoch in progress
        self.position = 0  # micro-batches of it that were consumed

    def steps(self) -> Iterator[StepOutput]:
        """Train from the current position to the last step, yielding after each step.

        The state is complete at every yield: what `state_dict` returns there continues exactly.
        """
        while self.global_step < self.total_steps:
            # A list per step, not a modulo: the tail of an epoch is just a shorter list.
            remaining = self.order(self.epoch)[self.position :]
            stride = self.micro_batches_per_step
            steps = [remaining[i : i + stride] for i in range(0, len(remaining), stride)]
            shares = [split_step(step, self.world, self.config.sharding) for step in steps]
            indices = [indices for share in shares for indices in share.batches]
            # Closed even if an exception's traceback goes on holding it, and its workers with it.
            with closing(self._batches(indices)) as batches:
                for step, share in zip(steps, shares, strict=True):
                    self.clock.start("data")
                    micro_batches = list(islice(batches, len(share.batches)))
                    out = self._step(micro_batches, share, len(step))
                    self.clock.stop()
                    yield out
                    if self.global_step == self.total_steps:
                        return
            self.epoch += 1
            self.position = 0

    @property
    def epochs_consumed(self) -> float:
        """Epochs of data consumed so far."""
        return self.epoch + self.position / self.micro_batches_per_epoch

    def learning_rate(self, step: int) -> float:
        """Learning rate of optimizer step `step`, counted from 0."""
        return self.config.learning_rate * lr_factor(
            step, kind=self.config.lr_scheduler, warmup=self.warmup_steps, total=self.total_steps
        )

    def weights(self) -> dict[str, torch.Tensor]:
        """The model's whole weights by name, also where each process holds a part only.

        To be called by all processes; with sharding, the main one gets the weights.
        """
        return model_state(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how the run goes on, in types safe to load.

        To be called by all processes; the main one's is the one to save.
        """
        return {
            "model": self.weights(),
            "optimizer": optimizer_state(self.model, self.optimizer),
            "scaler": self.precision.scaler.state_dict(),
            "rng": self.world.gather(rng_state()),
            "global_step": self.global_step,
            "epoch": self.epoch,
            "position": self.position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; UserError if it belongs to another model or another data size.

        Restores the random generators too, so nothing may draw between this and `steps()`.
        """
        require_same_model(self.model, state["model"])
        require(
            state["position"] <= self.micro_batches_per_epoch,
            f"the checkpoint stands at micro-batch {state['position']} of an epoch, but an epoch"
            f" now has {self.micro_batches_per_epoch}: data or batch size changed",
        )
        load_state(self.model, self.optimizer, state["model"], state["optimizer"])
        if state["scaler"]:  # empty if the checkpoint was made without loss scaling
            self.precision.scaler.load_state_dict(state["scaler"])
        if self.world.rank < len(state["rng"]):
            set_rng_state(state["rng"][self.world.rank])
        else:  # there were fewer processes: this one starts a stream that no other one has
            seed_everything(self.config.seed + 1000 * self.world.rank + state["global_step"])
        self.global_step = state["global_step"]
        self.epoch = state["epoch"]
        self.position = state["position"]

    def _step(self, micro_batches: Sequence[Batch], share: StepShare, consumed: int) -> StepOutput:
        counts = sum_counts(micro_batches[: share.num_own]) if share.num_own else {}
        (num_items,) = self.world.sum_ints([counts.get("num_items", 0)])
        learning_rate = self.learning_rate(self.global_step)
        self.model.train()  # here, since an evaluation between two steps leaves eval mode behind
        result = train_step(
            self.synced_model,
            micro_batches,
            self.loss_fn,
            self.optimizer,
            self.precision,
            learning_rate=learning_rate,
            max_grad_norm=self.config.max_grad_norm,
            num_items=num_items,
            num_own=share.num_own,
            world=self.world,
            clock=self.clock,
        )
        self.global_step += 1
        self.position += consumed
        return StepOutput(
            global_step=self.global_step,
            epoch=self.epochs_consumed,
            loss=result.loss,
            grad_norm=result.grad_norm,
            learning_rate=learning_rate,
            counts=counts,
            end_of_epoch=self.position == self.micro_batches_per_epoch,
            is_last=self.global_step == self.total_steps,
        )

    def _batches(self, index_batches: list[list[int]]) -> Generator[Batch, None, None]:
        """The micro-batches at `index_batches`, on the device."""
        if not index_batches:
            return
        loader: DataLoader[Any] = DataLoader(
            self.dataset,
            batch_sampler=index_batches,
            collate_fn=self.collate_fn,
            num_workers=self.config.num_workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=ignore_stop_signals,
            # Its own generator: otherwise every new loader draws from the global one, which
            # dropout uses, and a resumed run, having made one loader more, would differ.
            generator=torch.Generator().manual_seed(self.config.seed + self.epoch),
        )
        for batch in iterate(loader):
            yield move_to_device(batch, self.device)


@dataclass(frozen=True)
class StepShare:
    """What one process does in a step: its micro-batches, then some that are not its own."""

    batches: list[list[int]]
    num_own: int


def split_step(step: list[list[int]], world: World, sharding: str) -> StepShare:
    """This process's share of a step's micro-batches, dealt out in turn.

    Processes exchange data at certain points, so one with fewer micro-batches goes through the
    first of the step with weight 0: with DDP if it has none at all, since the exchange is in the
    last backward; with FSDP until it has as many as the others, since there it is in every layer.
    """
    own = step[world.rank :: world.size]
    needed = math.ceil(len(step) / world.size) if sharding == "fsdp" else 1
    return StepShare(own + step[:1] * (needed - len(own)), len(own))


def move_to_device(batch: Batch, device: torch.device) -> dict[str, Any]:
    """Copy a batch's tensors to `device`; from pinned memory the copy does not block the host."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }


def sum_counts(micro_batches: Sequence[Batch]) -> dict[str, int]:
    """Sum each plain int of the micro-batches (num_items, ...) over the micro-batches."""
    names = [name for name, value in micro_batches[0].items() if type(value) is int]
    return {name: sum(batch[name] for batch in micro_batches) for name in names}


def require_same_model(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    """Raise UserError, naming the first difference, unless names and shapes agree."""
    current = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    other = {name: tuple(value.shape) for name, value in saved.items()}
    for name in sorted(current.keys() | other.keys()):
        require(
            current.get(name) == other.get(name),
            f"the checkpoint is of another model: {name} is {other.get(name, 'absent')} there and"
            f" {current.get(name, 'absent')} here; resume with the model it was made with",
        )
