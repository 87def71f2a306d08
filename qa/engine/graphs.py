"""CUDA graphs of the forward and backward passes: one launch instead of a thousand and more."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import torch

from qa.engine.batch import Batch
from qa.engine.captured_batch import CapturedBatch, shape_of
from qa.engine.errors import notice
from qa.engine.loss_terms import Sums

Result = TypeVar("Result")
Pass: TypeAlias = Callable[[Batch, torch.Tensor], Sums]
"""`run(batch, share)` adds to the gradients, as `forward_backward` does."""

MOST_GRAPHS = 64  # each keeps some MB; a shape beyond them runs as without graphs
MOST_SHAPES = 10_000  # that came once; then all of them are forgotten


class Recorder(Protocol):
    """What runs passes, and records them for a replay."""

    def run(self, work: Callable[[], Result]) -> Result:
        """Do the work at once, in such a way that the same work can be recorded later."""

    def record(self, work: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """Record the work without doing it; return what does it, and where its result will lie."""

    def host_state(self) -> object:
        """Return something that differs after a random number was drawn on the host."""


@dataclass(frozen=True)
class StepGraph:
    """Passes recorded with tensors that stay in their places."""

    inputs: dict[str, torch.Tensor]
    replay: Callable[[], None]
    sums: Sums  # what the next replay writes over
    given: list[torch.Tensor]  # the parameters to which the passes give a gradient


class StepGraphs:
    """Adds up gradients like `forward_backward`, with a graph for each shape that comes again.

    The first batch of a shape runs as it is, which sets libraries up; the second one is recorded;
    from then on it is replayed. A shape is all that may differ between graphs: the tensors' names,
    shapes, strides and dtypes, the batch's other values except ints and lists, and which parameters
    have a gradient already. A batch that holds tensors in other things than itself is not recorded.

    Gradients lie where the graphs write them, from the end of a first pass on: in memory that is
    kept from step to step. As without graphs the first pass of a step writes them and later ones
    add to them, and a parameter that gets none has None. So the numbers are the same, bit for bit.

    Args:
        parameters: Those of the model.
        recorder: Runs and records passes.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], recorder: Recorder) -> None:
        self.parameters = list(parameters)
        self.recorder = recorder
        # As precise as the Python number that a pass without graphs is given.
        self._share = torch.zeros((), dtype=torch.float64, device=self.parameters[0].device)
        self._kept: dict[torch.Tensor, torch.Tensor] = {}  # the gradient of each parameter
        self._places: list[int] = []  # of the parameters, which graphs know by address
        self._seen: set[Hashable] = set()
        self._graphs: dict[Hashable, StepGraph] = {}
        self._draws_on_host = False

    def __call__(self, run: Pass, batch: Batch, share: float) -> Sums:
        """Add a micro-batch's part of the step's gradients; return its loss and terms, detached.

        Args:
            run: Forward and backward passes; always the same ones.
            batch: The micro-batch, on the parameters' device.
            share: What the summed loss is multiplied by in the gradient.

        Raises:
            UserError: `run` reads what `CapturedBatch` withholds, or cannot be recorded.
        """
        self._share.fill_(share)
        self._keep_gradients()
        key = None if self._draws_on_host else self._key(batch)
        if key is None:
            return self.recorder.run(lambda: self._add(run, batch))
        if key in self._graphs:
            return self._replay(self._graphs[key], batch)
        if key in self._seen and len(self._graphs) < MOST_GRAPHS:
            self._graphs[key] = self._record(run, batch)
            return self._replay(self._graphs[key], batch)
        if len(self._seen) >= MOST_SHAPES:
            self._seen.clear()
        self._seen.add(key)
        before = self.recorder.host_state()
        # The same batch as a graph gets, so that a count is missed in the first step.
        sums = self.recorder.run(lambda: self._add(run, CapturedBatch(batch)))
        if self.recorder.host_state() != before:
            self._draws_on_host = True
            notice("cuda_graphs: off, since the loss draws random numbers on the host, not on CUDA")
        return sums

    def _add(self, run: Pass, batch: Batch) -> Sums:
        """Run the passes, and move new gradients to the kept memory."""
        # Detached: a graph's gradient nodes must be of its own stream, and live on with a result.
        sums = {name: value.detach() for name, value in run(batch, self._share).items()}
        self._keep_gradients()
        return sums

    @torch.no_grad()
    def _keep_gradients(self) -> None:
        """Move the gradients that lie elsewhere to the kept memory, which begins as the first."""
        moved, kept, grads = [], [], []
        for parameter in self.parameters:
            grad = parameter.grad
            if grad is not None and grad is not self._kept.setdefault(parameter, grad):
                moved.append(parameter)
                kept.append(self._kept[parameter])
                grads.append(grad)
        if moved:
            torch._foreach_copy_(kept, grads)
        for parameter, grad in zip(moved, kept, strict=True):
            parameter.grad = grad

    def _key(self, batch: Batch) -> Hashable | None:
        """Return what a graph holds for; None if there can be none."""
        if (places := [parameter.data_ptr() for parameter in self.parameters]) != self._places:
            self._graphs.clear()  # somebody exchanged the weights' memory
            self._seen.clear()
            self._places = places
        parts = [shape_of(name, value) for name, value in batch.items()]
        state = bytes(2 * p.requires_grad + (p.grad is None) for p in self.parameters)
        return None if None in parts else (tuple(parts), state)

    def _record(self, run: Pass, batch: Batch) -> StepGraph:
        inputs = {n: x.detach().clone() for n, x in batch.items() if isinstance(x, torch.Tensor)}
        captured = CapturedBatch({**batch, **inputs})
        bare = [parameter for parameter in self.parameters if parameter.grad is None]
        replay, sums = self.recorder.record(lambda: self._add(run, captured))
        given = [parameter for parameter in bare if parameter.grad is not None]
        return StepGraph(inputs, replay, sums, given)

    def _replay(self, graph: StepGraph, batch: Batch) -> Sums:
        with torch.no_grad():
            for name, value in graph.inputs.items():
                value.copy_(batch[name])
        graph.replay()
        for parameter in graph.given:
            parameter.grad = self._kept[parameter]
        return {name: value.clone() for name, value in graph.sums.items()}
