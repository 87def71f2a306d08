"""The training loop as a generator: the body of the loop stays in the caller's file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from functools import partial
from typing import Any

import torch
from torch import nn

from qa.engine.agreement import Agreement
from qa.engine.batch import Batch, move_to_device, sum_counts
from qa.engine.batch_order import Order
from qa.engine.config import TrainConfig, require_scaling
from qa.engine.determinism import deterministic_kernels, fix_cublas_workspace
from qa.engine.device import resolve_device
from qa.engine.distributed import SINGLE_PROCESS, World
from qa.engine.errors import first_few, notice, require
from qa.engine.evaluation_mode import evaluation_mode
from qa.engine.full_state import load_state, model_state, optimizer_state, states_to_load
from qa.engine.graph_recorder import step_graphs
from qa.engine.loss_terms import LossFn
from qa.engine.micro_batches import make_micro_batches
from qa.engine.modes import notice_of_modes
from qa.engine.optim import MakeOptimizer, adamw, first_rate, make_optimizers, set_rates
from qa.engine.phase_clock import PhaseClock
from qa.engine.precision import Precision
from qa.engine.rng import rng_state, seed_everything, set_rng_state
from qa.engine.schedule import Schedule, lr_factor, warmup_steps
from qa.engine.step import train_step
from qa.engine.step_output import StepOutput


class TrainingRun:
    """A model being trained; `steps()` yields after every optimizer step.

    Args:
        model: The model; it is moved to the configured device.
        loss_fn: Returns the sum of a batch's losses, or that and a dict of further sums, "terms",
            whose means per item are in each step's output.
        dataset: The items, by index. Without an order, a stream: an iterable of micro-batches. Each
            process must read the same stream and trains on its share. A stream with `state_dict`
            and `load_state_dict` goes on at its own place after a resume and must have no end; of
            another one, what was used is passed over.
        order: Returns an epoch's micro-batches, a pure function; None: `dataset` is a stream.
            `num_train_epochs` are epochs as long as the first.
        collate_fn: Makes a batch of a list of items; `num_items` is one of its ints. None for a
            stream.
        config: The settings of the loop.
        optimizer: Returns one or several optimizers of the model, which is on its device by then.
            The `lr` of a parameter group is its peak rate. None: `adamw` with the settings in
            `config`.
        schedule: `schedule(step, total)` returns the factor of the peak rates at a step, from 0, of
            so many in all; a pure function. None: `lr_factor` with the settings in `config`.
        world: The processes that train this model together, each with a TrainingRun of the same
            arguments. The micro-batches are dealt out to them in turn, so the order of the data
            does not depend on their number.

    Raises:
        UserError: The arguments do not fit together; the message says what was expected.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFn,
        dataset: Any,
        order: Order | None,
        collate_fn: Callable[[list[Any]], Batch] | None,
        config: TrainConfig,
        *,
        optimizer: MakeOptimizer | None = None,
        schedule: Schedule | None = None,
        world: World = SINGLE_PROCESS,
    ) -> None:
        if config.deterministic:
            fix_cublas_workspace()
        self.config = config
        self.world = world
        self.device = resolve_device(config.device)
        data = dataset, order, collate_fn
        self.micro_batches = make_micro_batches(*data, config, self.device, world)
        self.precision = Precision(config.precision, self.device)
        require_scaling(config.sharding, self.precision.name)  # "auto" may be fp16
        self.model = model.to(self.device)
        self.clock = PhaseClock(self.device)
        self.synced_model = world.wrap(self.model, self.device, config.sharding)
        self._modules = list(self.model.modules())
        # transformers loads models in eval mode, also within a module of one's own.
        notice_of_modes(self.model)
        self.model.train()
        # Whether each is in training mode, as at the last step.
        self._modes = [module.training for module in self._modules]
        self._kernels = partial(deterministic_kernels, config.deterministic, self.device)
        self.loss_fn = loss_fn
        self._agreement = Agreement(self.synced_model, world)
        self.optimizers = make_optimizers(optimizer or partial(adamw, config=config), self.model)
        self.graphs = step_graphs(config, self.model, self.precision, world)
        self.global_step = 0  # optimizer steps made so far
        # Rounded up twice, as transformers does.
        steps_per_epoch = math.ceil(
            (self.micro_batches.epoch_length or 0) / self.micro_batches.per_step
        )
        steps_of_epochs = math.ceil(steps_per_epoch * config.num_train_epochs)
        self.total_steps = config.max_steps or steps_of_epochs
        by_ratio = warmup_steps(self.total_steps, config.warmup_ratio)
        if schedule is None and (config.warmup_steps or 0) >= self.total_steps:
            notice(
                f"the warm-up has {config.warmup_steps} steps and the run {self.total_steps}: the"
                " learning rate never reaches its peak"
            )
        self.schedule = schedule or partial(
            lr_factor,
            kind=config.lr_scheduler,
            warmup=by_ratio if config.warmup_steps is None else config.warmup_steps,
        )

    def steps(self) -> Iterator[StepOutput]:
        """Train from the current position to the last step, yielding after each step.

        The state is complete at every yield: what `state_dict` returns there continues exactly.
        """
        if self.is_finished:
            return
        self.precision.restart_scaling()  # a step that was interrupted may have left it half done
        # Closed even if an exception's traceback goes on holding it, and its data workers with it.
        with closing(self.micro_batches.steps()) as steps:
            self.clock.start("data")
            for micro_batches, num_own, consumed in steps:
                out = self._step(micro_batches, num_own, consumed)
                self.clock.stop()
                yield out
                if self.is_finished:
                    return
                self.clock.start("data")

    @property
    def is_finished(self) -> bool:
        """Whether all steps are made."""
        return self.global_step >= self.total_steps

    @property
    def epochs_consumed(self) -> float:
        """Epochs of data consumed so far; 0 for a stream."""
        return self.micro_batches.epochs_consumed

    def learning_rate(self, step: int) -> float:
        """Return the rate of the first parameter group in optimizer step `step`, from 0.

        It is nan if the optimizer decides by itself.
        """
        return first_rate(self.optimizers, "initial_lr") * self.schedule(step, self.total_steps)

    def to_device(self, batch: Any) -> Any:
        """Return a batch with its tensors on the device of the run, nested ones too."""
        return move_to_device(batch, self.device)

    def evaluation(self) -> AbstractContextManager[nn.Module]:
        """Return a context that gives the model for an evaluation, which changes nothing.

        The model is in eval mode, in the training's number format and without gradients; afterwards
        modes and random generators are as before.
        """
        return evaluation_mode(self.model, self.precision, self._kernels())

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the model's weights by name, whole even where each process holds only a part.

        All processes must call this; with sharding only the main one gets the weights.
        """
        return model_state(self.model)

    def state_dict(self, trainable_only: bool = False) -> dict[str, Any]:
        """Return everything that decides how the run goes on, in types that are safe to load.

        All processes must call this; the main one's result is the one to save. With
        `trainable_only` it lacks the frozen parameters: the run that loads it must have them, and
        lack no others.
        """
        return {
            "model": model_state(self.model, trainable_only),
            "optimizer": optimizer_state(self.model, self.optimizers),
            "scaler": self.precision.scaler.state_dict(),
            "rng": self.world.gather(rng_state()),
            "global_step": self.global_step,
            **self.micro_batches.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state; UserError if it is none, or of another model or data size.

        The random generators go back too, so nothing may draw between this call and `steps()`.
        """
        require(
            "model" in state,
            f"this is no state of a run, as state_dict returns it: it has {first_few([*state])}",
        )
        weights = state["model"]
        states = states_to_load(self.model, self.optimizers, weights, state["optimizer"])
        self.micro_batches.load_state_dict(state)
        load_state(self.model, self.optimizers, weights, states)
        if state["scaler"]:  # empty if the checkpoint was made without loss scaling
            self.precision.scaler.load_state_dict(state["scaler"])
        if self.world.rank < len(state["rng"]):
            set_rng_state(state["rng"][self.world.rank])
        else:  # the saved run had fewer processes: this one starts a stream that no other one has
            seed_everything(self.config.seed + 1000 * self.world.rank + state["global_step"])
        self.global_step = state["global_step"]

    def _set_modes(self) -> None:
        """Put the parts back into the modes of the last step, if an evaluation left it in another.

        One that was put into eval mode since the run was made, as a frozen BatchNorm or a teacher,
        stays so.
        """
        if not self.model.training:
            for module, training in zip(self._modules, self._modes, strict=True):
                module.training = training
        self._modes = [module.training for module in self._modules]

    def _step(self, micro_batches: list[Batch], num_own: int, consumed: int) -> StepOutput:
        """Make one step and move on in the data."""
        # A process without a micro-batch of its own has the names, too.
        counts = dict.fromkeys(sum_counts(micro_batches), 0) | sum_counts(micro_batches[:num_own])
        (num_items,) = self.world.sum_ints([counts.get("num_items", 0)])
        # A float, since a checkpoint cannot hold numpy's.
        set_rates(self.optimizers, float(self.schedule(self.global_step, self.total_steps)))
        learning_rate = first_rate(self.optimizers, "lr")
        self._set_modes()
        self._agreement.require_known()
        with self._kernels():
            result = train_step(
                self.synced_model,
                micro_batches,
                self._agreement.checked(self.loss_fn),
                self.optimizers,
                self.precision,
                max_grad_norm=self.config.max_grad_norm,
                num_items=num_items,
                num_own=num_own,
                world=self.world,
                clock=self.clock,
                graphs=self.graphs,
            )
        self._agreement.require_exchanged(result.grad_norm)
        self.global_step += 1
        self.micro_batches.position += consumed
        return StepOutput(
            global_step=self.global_step,
            epoch=self.epochs_consumed,
            loss=result.loss,
            terms=result.terms,
            grad_norm=result.grad_norm,
            learning_rate=learning_rate,
            counts=counts,
            end_of_epoch=self.micro_batches.end_of_epoch,
            is_last=self.global_step == self.total_steps,
        )
