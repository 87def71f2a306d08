"""The micro-batches of a stream, and the place in it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, cast

import torch
from torch.utils.data import RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from qa.engine.batch import Batch, move_to_device
from qa.engine.config import TrainConfig
from qa.engine.data_workers import noting_workers
from qa.engine.distributed import World
from qa.engine.errors import notice, require

END = object()  # what is read behind the last micro-batch


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
        self._pending: Any = END  # what is read and not yet on the device
        self._stream: Iterator[Any] | None = None
        self._in_pass = 0  # what was read of the stream since it has begun
        self._drawn: list[tuple[torch.Generator, torch.Tensor]] = []  # as that pass began
        self._has_failed = False  # when it was asked for a micro-batch the last time
        self._loaded: Any = None  # the state that it was given and has not been read on from

    @property
    def has_state(self) -> bool:
        """Whether the stream itself knows its place, which a checkpoint then holds."""
        return hasattr(self.dataset, "state_dict")

    def state_dict(self) -> dict[str, Any]:
        """Return the place, and the state of a stream that has one."""
        place: dict[str, Any] = {"epoch": self.epoch, "position": self.position}
        if not self.has_state:
            return place
        # `datasets` tells a state that it was given only once it has been read on.
        own = self.dataset.state_dict() if self._loaded is None else self._loaded
        return {**place, "stream": own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved place; what a stream without a state yields up to there is passed over."""
        require(
            state["epoch"] == 0,
            f"the checkpoint stands in epoch {state['epoch']} of data with an order, and this run"
            " has a stream; resume with the data it was made with",
        )
        if "stream" in state:
            self.dataset.load_state_dict(state["stream"])
        self._loaded = state.get("stream")
        self._begin(0 if "stream" in state else state["position"])
        self.position = self._taken = state["position"]
        self._pending, self._has_failed = END, False

    def steps(self) -> Generator[tuple[list[Batch], int, int], None, None]:
        """Yield each step from the current place on, for ever: what this process has to do.

        (its micro-batches on the device; how many of them count, here all; how many micro-batches
        all processes together consume)
        """
        while True:
            if self._taken == self.position:
                self._own = []
            # Fewer than a step's, after one that was interrupted: what that had taken is kept.
            while self._taken < self.position + self.per_step:
                if self._pending is END:
                    self._pending = self._next()
                if (self._taken - self.position) % self.world.size == self.world.rank:
                    # At once, since the stream may write its next batch into the same one.
                    self._own.append(move_to_device(self._pending, self.device, copies=True))
                self._taken, self._pending = self._taken + 1, END
            # Others of the same tensors, since loss_fn may take something out of them.
            given = [move_to_device(batch, self.device) for batch in self._own]
            yield given, len(given), self.per_step

    @noting_workers()
    def _next(self) -> Batch:
        """Return the next micro-batch of the stream, which begins anew when it ends.

        Not if it has a state: a restored one may begin anew in the middle, as `datasets`' does. One
        that an exception has ended, as it ends generators, begins anew up to the same place.
        """
        has_failed, self._has_failed = self._has_failed, True
        batch = END if self._stream is None else next(self._stream, END)
        if batch is END and (has_failed or self._stream is None):
            own = self.dataset.state_dict() if has_failed and self.has_state else None
            for generator, state in self._drawn:  # the same pass, in the same order
                generator.set_state(state)
            if own is not None:  # else it begins where it was loaded the last time
                self.dataset.load_state_dict(own)
            batch = next(self._begin(0 if self.has_state else self._in_pass), END)
        if batch is END and not self.has_state:
            self._in_pass = 0
            batch = next(self._begin(0), END)
        self._has_failed, self._loaded = False, None
        require(batch is not END, self._ended(self.position))
        self._in_pass += 1
        return cast("Batch", batch)

    @noting_workers()
    def _begin(self, place: int) -> Iterator[Any]:
        """Return the stream begun anew and read up to a place, over its end if that comes first.

        UserError if it ends at once. Where it fails, it is begun at the next call.
        """
        self._stream = None
        stream, in_pass = self._new_pass(), 0
        for _ in range(place):
            if next(stream, END) is END:
                stream, in_pass = self._new_pass(), 0
                require(next(stream, END) is not END, self._ended(place))
            in_pass += 1
        self._stream, self._in_pass = stream, in_pass
        return stream

    def _new_pass(self) -> Iterator[Any]:
        """Return the stream begun anew, and note from where torch's loader draws its order."""
        loader = self.dataset
        batches = getattr(loader, "batch_sampler", None)
        owners = loader, getattr(loader, "sampler", None), getattr(batches, "sampler", None)
        found = [getattr(owner, "generator", None) for owner in owners]
        self._drawn = [(g, g.get_state()) for g in found if isinstance(g, torch.Generator)]
        return iter(self.dataset)

    def _ended(self, position: int) -> str:
        """Return what says that there is nothing more to read behind so many micro-batches."""
        return (
            f"the stream ended before max_steps, in the step after {position} micro-batches;"
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
