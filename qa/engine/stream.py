"""The micro-batches of a stream, and the place in it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from qa.engine.batch import Batch, move_to_device
from qa.engine.config import TrainConfig
from qa.engine.distributed import World
from qa.engine.errors import UserError, notice


class StreamBatches:
    """The micro-batches that a stream yields, step by step, and the place in it.

    The place is `position`, the micro-batches since the stream's beginning that all processes
    together have consumed; whoever trains on a step moves it on. There are no epochs. The arguments
    are those of `TrainingRun`.
    """

    epoch = 0
    epochs_consumed = 0.0
    epoch_length = None
    end_of_epoch = None  # nobody knows
    collate_fn = None

    def __init__(
        self, stream: Any, config: TrainConfig, device: torch.device, world: World
    ) -> None:
        notice_of_stream(stream, config)
        self.dataset, self.device, self.world = stream, device, world
        self.per_step = config.gradient_accumulation_steps * world.size
        self.position = 0
        self._taken = 0  # of the stream; more than `position` within a step
        self._own: list[Batch] = []  # this process's, of the step in progress
        self._stream: Iterator[Batch] | None = None
        self._is_broken = False  # whether its last batch failed

    @property
    def has_state(self) -> bool:
        """Whether the stream itself knows its place, which a checkpoint then holds."""
        return hasattr(self.dataset, "state_dict")

    def state_dict(self) -> dict[str, Any]:
        """Return the place, and the state of a stream that has one."""
        place: dict[str, Any] = {"epoch": self.epoch, "position": self.position}
        return {**place, "stream": self.dataset.state_dict()} if self.has_state else place

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved place; what a stream without a state yields up to there is passed over."""
        if "stream" in state:
            self.dataset.load_state_dict(state["stream"])
        self.position = state["position"]
        self._begin(self.position, reads="stream" not in state)

    def steps(self) -> Generator[tuple[list[Batch], int, int], None, None]:
        """Yield each step from the current place on, for ever: what this process has to do.

        (its micro-batches on the device; how many of them count, here all; how many micro-batches
        all processes together consume)
        """
        while True:
            if self._taken == self.position:
                self._own = []
            # Fewer than a step's, after one that was interrupted: what that had taken is kept.
            for number in range(self._taken - self.position, self.per_step):
                batch = self._next()
                if number % self.world.size == self.world.rank:
                    # At once, since the stream may write its next batch into the same one.
                    self._own.append(move_to_device(batch, self.device))
            yield self._own, len(self._own), self.per_step

    def _begin(self, place: int, reads: bool) -> None:
        """Begin the stream anew at a place, of which it knows or up to which it is read."""
        self._stream, self._is_broken = iter(self.dataset), False
        self._taken = 0 if reads else place
        while self._taken < place:
            self._next()

    def _next(self) -> Batch:
        """Return the next micro-batch of the stream, which begins anew when it ends.

        Not if it has a state: a restored one may begin anew in the middle, as `datasets`' does.
        """
        if self._is_broken and isinstance(self._stream, Generator):  # an exception ends those
            self._begin(self._taken, reads=not self.has_state)
        for begins_anew in (False, True):
            if self._stream is None or (begins_anew and not self.has_state):
                self._stream = iter(self.dataset)
            self._is_broken = True
            for batch in self._stream:
                self._taken, self._is_broken = self._taken + 1, False
                return batch
            self._is_broken = False
        raise UserError(
            f"the stream ended before max_steps, in the step after {self.position} micro-batches;"
            " one that has a state_dict, or can be read only once, must go on for ever"
        )


def notice_of_stream(stream: Any, config: TrainConfig) -> None:
    """Say what a stream that is torch's own loader does not do as a person may think."""
    if config.num_workers:
        notice("num_workers is of data with an order; a stream's own loader has its own workers")
    sampler: Any = getattr(stream, "sampler", None)
    draws = isinstance(sampler, RandomSampler | WeightedRandomSampler | SubsetRandomSampler)
    if draws and sampler.generator is None and not hasattr(stream, "state_dict"):
        notice(
            "the loader shuffles by torch's global generator, so that from its second pass on a"
            " resumed run goes on in other data; give it generator=torch.Generator().manual_seed(0)"
        )
