"""The training loop as a generator: the body of the loop stays in the caller's file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

import torch
from torch import nn

from qa.engine.batch_order import Order
from qa.engine.config import TrainConfig
from qa.engine.device import local_device, resolve_device
from qa.engine.distributed import SINGLE_PROCESS, World
from qa.engine.errors import require
from qa.engine.full_state import load_state, model_state, optimizer_state, require_same_model
from qa.engine.micro_batches import Items, StepShare, load_batches, split_step, sum_counts
from qa.engine.optim import make_optimizer
from qa.engine.phase_clock import PhaseClock
from qa.engine.precision import Precision
from qa.engine.rng import rng_state, seed_everything, set_rng_state
from qa.engine.schedule import lr_factor, warmup_steps
from qa.engine.step import Batch, LossFn, train_step
from qa.engine.step_output import StepOutput


class TrainingRun:
    """A model being trained; `steps()` yields after every optimizer step.

    Args:
        model: The model; it is moved to the configured device.
        loss_fn: Returns the sum of a batch's losses.
        dataset: The items, by index.
        order: Returns an epoch's micro-batches; each epoch must have the same number of them.
        collate_fn: Makes a batch of a list of items; `num_items` is one of its ints.
        config: The settings of the loop.
        world: The processes that train this model together, each with a TrainingRun of the same
            arguments. An order's micro-batches are dealt out to them in turn, so the order of the
            data does not depend on their number.
        learning_rates: Peak learning rates by prefix of a parameter's name, e.g. a new head's, used
            instead of the configured one; they rise and fall with it.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFn,
        dataset: Items,
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
            model,
            config.learning_rate,
            config.weight_decay,
            learning_rates,
            (config.adam_beta1, config.adam_beta2),
            config.adam_epsilon,
        )
        self.micro_batches_per_epoch = len(order(0))
        require(
            self.micro_batches_per_epoch, "there is nothing to train on: the first epoch is empty"
        )
        self.micro_batches_per_step = config.gradient_accumulation_steps * world.size
        self.steps_per_epoch = math.ceil(self.micro_batches_per_epoch / self.micro_batches_per_step)
        # Rounded up, as transformers does.
        steps_of_epochs = math.ceil(self.steps_per_epoch * config.num_train_epochs)
        self.total_steps = config.max_steps or steps_of_epochs
        by_ratio = warmup_steps(self.total_steps, config.warmup_ratio)
        self.warmup_steps = by_ratio if config.warmup_steps is None else config.warmup_steps
        self.global_step = 0  # optimizer steps made so far
        self.epoch = 0  # the epoch in progress
        self.position = 0  # micro-batches of that epoch consumed so far

    def steps(self) -> Iterator[StepOutput]:
        """Train from the current position to the last step, yielding after each step.

        The state is complete at every yield: what `state_dict` returns there continues exactly.
        """
        while not self.is_finished:
            remaining = self.order(self.epoch)[self.position :]
            size = self.micro_batches_per_step  # the last step of an epoch may have fewer
            steps = [remaining[i : i + size] for i in range(0, len(remaining), size)]
            shares = [split_step(step, self.world, self.config.sharding) for step in steps]
            # One loader for the whole epoch: its workers start once, and go on preparing batches
            # from one step to the next.
            loading = load_batches(
                self.dataset,
                [indices for share in shares for indices in share.batches],
                self.collate_fn,
                self.device,
                self.config.num_workers,
                seed=self.config.seed + self.epoch,
            )
            # Closed even if an exception's traceback goes on holding it, and its workers with it.
            with closing(loading) as batches:
                for step, share in zip(steps, shares, strict=True):
                    self.clock.start("data")
                    micro_batches = list(islice(batches, len(share.batches)))
                    out = self._step(micro_batches, share, len(step))
                    self.clock.stop()
                    yield out
                    if self.is_finished:
                        return
            self.epoch += 1
            self.position = 0

    @property
    def is_finished(self) -> bool:
        """Whether all steps are made."""
        return self.global_step >= self.total_steps

    @property
    def epochs_consumed(self) -> float:
        """Epochs of data consumed so far."""
        return self.epoch + self.position / self.micro_batches_per_epoch

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of optimizer step `step`, counted from 0."""
        return self.config.learning_rate * lr_factor(
            step, kind=self.config.lr_scheduler, warmup=self.warmup_steps, total=self.total_steps
        )

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the model's weights by name, whole even where each process holds only a part.

        All processes must call this; with sharding only the main one gets the weights.
        """
        return model_state(self.model)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides how the run goes on, in types that are safe to load.

        All processes must call this; the main one's result is the one to save.
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
        """Go back to a saved state; raise UserError if it is of another model or data size.

        The random generators go back too, so nothing may draw between this call and `steps()`.
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
        else:  # the saved run had fewer processes: this one starts a stream that no other one has
            seed_everything(self.config.seed + 1000 * self.world.rank + state["global_step"])
        self.global_step = state["global_step"]
        self.epoch = state["epoch"]
        self.position = state["position"]

    def _step(self, micro_batches: Sequence[Batch], share: StepShare, consumed: int) -> StepOutput:
        """Make one step, in which all processes together consume `consumed` micro-batches."""
        counts = sum_counts(micro_batches[: share.num_own]) if share.num_own else {}
        (num_items,) = self.world.sum_ints([counts.get("num_items", 0)])
        learning_rate = self.learning_rate(self.global_step)
        self.model.train()  # in every step: an evaluation in between leaves the model in eval mode
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
