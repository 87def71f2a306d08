"""The micro-batches of each step: where they come from, the place in them, a process's share."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import torch
from torch.utils.data import IterableDataset

from qa.engine.batch import Batch, move_to_device
from qa.engine.batch_order import Order
from qa.engine.config import TrainConfig
from qa.engine.data_workers import load_batches
from qa.engine.distributed import World
from qa.engine.errors import UserError, notice, require, type_name


class MicroBatches:
    """The micro-batches of a run, step by step, and the place in them.

    The place is `epoch` and `position`, the micro-batches of that epoch that all processes together
    have consumed; whoever trains on a step moves it on. A stream has no epochs: there the position
    counts from its beginning. The arguments are those of `TrainingRun`.
    """

    def __init__(
        self,
        dataset: Any,
        order: Order | None,
        collate_fn: Callable[[list[Any]], Batch] | None,
        config: TrainConfig,
        device: torch.device,
        world: World,
    ) -> None:
        self.dataset, self.order, self.collate_fn = dataset, order, collate_fn
        self.config, self.device, self.world = config, device, world
        self.per_step = config.gradient_accumulation_steps * world.size
        self.epoch = 0  # the epoch in progress
        self.position = 0
        self.epoch_length: int | None = None  # micro-batches of that epoch; None: a stream
        self._stream: Iterator[Batch] | None = None
        if order is None:
            require(
                config.max_steps and collate_fn is None and hasattr(dataset, "__iter__"),
                "without an order the data is a stream: an iterable of micro-batches, with"
                " collate_fn None and max_steps set",
            )
            return
        require(callable(order), f"order must be a function of the epoch, not {type_name(order)}")
        require(
            hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset),
            f"the data set must return an item for its index, as {type_name(dataset)} does not; to"
            " train on the batches that it yields pass order None and collate_fn None",
        )
        self._note(order(0))

    @property
    def end_of_epoch(self) -> bool | None:
        """Whether the place is the end of an epoch; None for a stream, where nobody knows."""
        return None if self.epoch_length is None else self.position == self.epoch_length

    @property
    def epochs_consumed(self) -> float:
        """Epochs consumed so far; 0 for a stream."""
        return self.epoch + (self.position / self.epoch_length if self.epoch_length else 0)

    def state_dict(self) -> dict[str, Any]:
        """Return the place, and the state of a stream that has one."""
        place: dict[str, Any] = {"epoch": self.epoch, "position": self.position}
        if self.order is None and hasattr(self.dataset, "state_dict"):
            place["stream"] = self.dataset.state_dict()
        return place

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved place; what a stream without a state yields up to there is passed over."""
        epoch, position = state["epoch"], state["position"]
        if self.order is None:
            if "stream" in state:
                self.dataset.load_state_dict(state["stream"])
            self._stream = iter(self.dataset)
            self.position = position
            for _ in range(0 if "stream" in state else position):
                self._next()
            return
        length = len(list(self.order(epoch)))
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
        """
        while self.order is None:
            taken = [self._next() for _ in range(self.per_step)][self.world.rank :: self.world.size]
            own = [move_to_device(batch, self.device) for batch in taken]
            yield own, len(own), self.per_step
        while True:
            remaining = self._note(self.order(self.epoch))[self.position :]
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
                seed=self.config.seed + self.epoch,
            )
            # Closed even if an exception's traceback goes on holding it, and its workers with it.
            with closing(loading) as loaded:
                for step, (share, num_own) in zip(steps, shares, strict=True):
                    yield list(islice(loaded, len(share))), num_own, len(step)
            self.epoch += 1
            self.position = 0

    def _note(self, order: Iterable[Any]) -> list[Any]:
        """Return the micro-batches of the epoch in progress as a list, and note their number."""
        batches = list(order)
        require(batches, f"there is nothing to train on: epoch {self.epoch} is empty")
        if self.epoch_length not in (None, len(batches)) and self.config.max_steps is None:
            notice(
                f"epoch {self.epoch} has {len(batches)} micro-batches, not {self.epoch_length}; the"
                " run still makes the steps of epochs that are as long as the first (or max_steps)"
            )
        self.epoch_length = len(batches)
        return batches

    def _next(self) -> Batch:
        """Return the next micro-batch of the stream, which begins anew when it ends.

        Not if it has a state: a restored one may begin anew in the middle, as `datasets`' does.
        """
        for begins_anew in (False, True):
            if self._stream is None or (begins_anew and not hasattr(self.dataset, "state_dict")):
                self._stream = iter(self.dataset)
            for batch in self._stream:
                return batch
        raise UserError(
            f"the stream ended before max_steps, in the step after {self.position} micro-batches;"
            " one that has a state_dict, or can be read only once, must go on for ever"
        )


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
