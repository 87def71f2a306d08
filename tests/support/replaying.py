"""Graphs on a CPU, where a replay does the recorded work again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from qa.engine import TrainingRun
from qa.engine.graphs import StepGraphs


class Replaying:
    """A recorder whose replays do the work again, with the tensors that it was recorded with.

    As on CUDA, recording computes nothing, but what Python assigns meanwhile stays; a replay writes
    to where gradients lay when it was recorded, and assigns nothing.
    """

    def __init__(self, model: nn.Module) -> None:
        self.parameters = list(model.parameters())
        self.num_run = self.num_recorded = self.num_replayed = 0

    def run(self, work: Callable[[], Any]) -> Any:
        """Do the work."""
        self.num_run += 1
        return work()

    def record(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """Return what does the work again, and where its results will be."""
        self.num_recorded += 1
        places = self._gradients()
        values = [None if grad is None else grad.clone() for grad in places]
        with torch.random.fork_rng():
            results = work()
        for grad, value in zip(places, values, strict=True):
            if grad is not None and value is not None:
                grad.copy_(value)

        def replay() -> None:
            self.num_replayed += 1
            now = self._gradients()
            self._assign(places)
            for name, value in work().items():
                results[name].copy_(value)
            self._assign(now)

        for value in results.values():
            value.fill_(float("nan"))
        return replay, results

    def _gradients(self) -> list[torch.Tensor | None]:
        return [parameter.grad for parameter in self.parameters]

    def _assign(self, gradients: list[torch.Tensor | None]) -> None:
        for parameter, grad in zip(self.parameters, gradients, strict=True):
            parameter.grad = grad

    def host_state(self) -> object:
        """Python's generator alone, since torch's is the device's here."""
        return random.getstate()


def with_graphs(run: TrainingRun) -> tuple[TrainingRun, Replaying]:
    """A run with graphs, and what records them."""
    recorder = Replaying(run.model)
    run.graphs = StepGraphs(run.model.parameters(), recorder)
    return run, recorder
