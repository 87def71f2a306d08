"""The micro-batches of each step: where they come from, the place in them, a process's share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import islice
from typing import Any

import torch
from torch.utils.data import IterableDataset

from qa.engine.batch import Batch
from qa.engine.batch_order import Order
from qa.engine.config import TrainConfig
from qa.engine.data_workers import load_batches
from qa.engine.distributed import World
from qa.engine.errors import notice, require, type_name
from qa.engine.stream import StreamBatches

FEW = 8  # micro-batches of an epoch that tell one shuffle from another
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
RANKS_APART = 1_000_003  # between the seeds of processes; no run has more epochs


def make_micro_batches(
    dataset: Any,
    order: Order | None,
    collate_fn: Callable[[list[Any]], Batch] | None,
    config: TrainConfig,
    device: torch.device,
    world: World,
) -> EpochBatches | StreamBatches:
    """Return the micro-batches of a run with these arguments; UserError if they do not fit."""
    if order is not None:
        return EpochBatches(dataset, order, collate_fn, config, device, world)
    require(
        config.max_steps and collate_fn is None and hasattr(dataset, "__iter__"),
        "without an order the data is a stream: an iterable of micro-batches, with collate_fn None"
        " and max_steps set",
    )
    return StreamBatches(dataset, config, device, world)


class EpochBatches:
    """The micro-batches of a data set, step by step, and the place in them.

    The place is `epoch` and `position`, the micro-batches of that epoch that all processes together
    have consumed; whoever trains on a step moves it on. The arguments are those of `TrainingRun`.
    """

    def __init__(
        self,
        dataset: Any,
        order: Order,
        collate_fn: Callable[[list[Any]], Batch] | None,
        config: TrainConfig,
        device: torch.device,
        world: World,
    ) -> None:
        require(callable(order), f"order must be a function of the epoch, not {type_name(order)}")
        require(
            hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset),
            f"the data set must return an item for its index, as {type_name(dataset)} does not; to"
            " train on the batches that it yields pass order None and collate_fn None",
        )
        self.dataset, self.order, self.collate_fn = dataset, order, collate_fn
        self.config, self.device, self.world = config, device, world
        self.per_step = config.gradient_accumulation_steps * world.size
        self.epoch = 0  # the epoch in progress
        self.position = 0
        self.epoch_length: int | None = None  # micro-batches of that epoch; None: not known yet
        self._moves = 0  # loads and other generators of `steps`, which one cannot follow
        self._known = (-1, "")  # the epoch of the last call of order, and how that began
        self._note(self._batches(0))

    @property
    def end_of_epoch(self) -> bool:
        """Whether the place is the end of an epoch."""
        return self.position == self.epoch_length

    @property
    def epochs_consumed(self) -> float:
        """Epochs consumed so far."""
        return self.epoch + self.position / (self.epoch_length or 1)

    def state_dict(self) -> dict[str, Any]:
        """Return the place."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved place; UserError if the epoch has no such place any more."""
        require(
            "stream" not in state,
            "the checkpoint is of a stream, and this run's data have an order; resume with the data"
            " it was made with",
        )
        epoch, position = state["epoch"], state["position"]
        self._moves += 1
        length = len(self._batches(epoch))
        require(
            position <= length,
            f"the checkpoint stands at micro-batch {position} of an epoch, but an epoch now has"
            f" {length}: data or batch size changed",
        )
        self.epoch, self.position, self.epoch_length = epoch, position, length

    def steps(self) -> Generator[tuple[list[Batch], int, int], None, None]:
        """Yield each step from the current place on, for ever: what this process has to do.

        (its micro-batches on the device; how many of them count, see `split_step`; how many
        micro-batches all processes together consume)

        Raises:
            UserError: `load_state_dict` was called since the step before, or another generator
                begun.
        """
        self._moves += 1
        moves = self._moves
        while True:
            remaining = self._note(self._batches(self.epoch))[self.position :]
            size = self.per_step  # the last step of an epoch may have fewer
            steps = [remaining[i : i + size] for i in range(0, len(remaining), size)]
            shares = [split_step(step, self.world, self.config.sharding) for step in steps]
            # One loader for the whole epoch: its workers start once, and go on preparing batches
            # from one step to the next.
            loading = load_batches(
                self.dataset,
                [indices for share, _ in shares for indices in share],
                self.collate_fn,
                self.device,
                self.config.num_workers,
                seed=self.config.seed + self.epoch + RANKS_APART * self.world.rank,
            )
            # Closed even if an exception's traceback goes on holding it, and its workers with it.
            with closing(loading) as loaded:
                for step, (share, num_own) in zip(steps, shares, strict=True):
                    self._require_no_move(moves)
                    own = list(islice(loaded, len(share)))
                    require(
                        len(own) == len(share),
                        "the data ended before its order: the data set or collate_fn raised"
                        " StopIteration, e.g. by next() of an iterator at its end",
                    )
                    yield own, num_own, len(step)
            self._require_no_move(moves)
            self.epoch += 1
            self.position = 0

    def _require_no_move(self, moves: int) -> None:
        """Raise UserError unless there were this many moves; `steps` goes on in its own list."""
        require(
            moves == self._moves,
            "load_state_dict was called, or another loop over steps() begun, within a loop over"
            " steps(), which would go on in its old place: leave that loop and begin another",
        )

    def _batches(self, epoch: int) -> list[list[Any]]:
        """Return an epoch's micro-batches; UserError if they were others at the call before."""
        batches = list(self.order(epoch))
        # Without the addresses of objects that have no text of their own.
        known, self._known = self._known, (epoch, ADDRESS.sub("", repr(batches[:FEW])))
        require(
            known[0] != epoch or known == self._known,
            f"order({epoch}) returned other micro-batches at its second call; it must be a pure"
            " function of the epoch, or a resumed run goes on in other data: draw from a generator"
            " that it seeds, e.g. np.random.default_rng([seed, epoch])",
        )
        return batches

    def _note(self, batches: list[Any]) -> list[Any]:
        """Return the micro-batches of the epoch in progress, and note their number."""
        require(batches, f"there is nothing to train on: epoch {self.epoch} is empty")
        require(
            all(hasattr(batch, "__len__") for batch in batches),
            f"order({self.epoch}) must return micro-batches, each a list of indices, not"
            f" {type_name(batches[0])}",
        )
        if self.epoch_length not in (None, len(batches)) and self.config.max_steps is None:
            notice(
                f"epoch {self.epoch} has {len(batches)} micro-batches, not {self.epoch_length}; the"
                " run still makes the steps of epochs that are as long as the first (or max_steps)"
            )
        self.epoch_length = len(batches)
        return batches


def split_step(step: list[Any], world: World, sharding: str) -> tuple[list[Any], int]:
    """Return the share of this process in a step's micro-batches, and how many of it count.

    They are dealt out in turn. The processes exchange gradients, and with FSDP weights too, at
    fixed points of a micro-batch; every process must reach each of them. One with too few therefore
    repeats the step's first one, with weight 0. With DDP it does so only if it has none at all,
    since the exchange is in the last backward. With FSDP it does so until it has as many as the
    others, since the exchange is in every layer.

    Args:
        step: The item indices of each micro-batch of the step, of all processes together.
        world: The processes; the n-th one gets every `world.size`-th micro-batch from the n-th on.
        sharding: "none" (DDP, or a single process) or "fsdp".
    """
    own = step[world.rank :: world.size]
    needed = math.ceil(len(step) / world.size) if sharding == "fsdp" else 1
    return own + step[:1] * (needed - len(own)), len(own)
