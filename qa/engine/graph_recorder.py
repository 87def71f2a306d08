"""Recording passes as CUDA graphs, and when the engine does so."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from qa.engine.config import TrainConfig
from qa.engine.distributed import World
from qa.engine.errors import UserError, notice, out_of_memory, short_reason
from qa.engine.graphs import Result, StepGraphs
from qa.engine.precision import Precision


def step_graphs(
    config: TrainConfig, model: nn.Module, precision: Precision, world: World
) -> StepGraphs | None:
    """Return the graphs of a run; None without them.

    Args:
        config: Says whether they are wanted. If they cannot be, there is a notice.
        model: The model, on its device.
        precision: The run's.
        world: The run's.
    """
    if config.cuda_graphs == "off":
        return None
    device = precision.device
    hindrances = {
        f"the device is {device.type}": device.type != "cuda",
        f"{world.size} processes exchange gradients": world.size > 1,
        "fp16 scales the loss": precision.scaler.is_enabled(),
    }
    for hindrance, is_so in hindrances.items():
        if is_so:
            notice(f"cuda_graphs: off, since {hindrance}")
            return None
    return StepGraphs(model.parameters(), CudaRecorder(device))


class CudaRecorder:
    """Records passes on one CUDA device.

    Replaying advances the default generator as running does, and draws the same numbers.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # What runs before a recording must be on its stream: gradient nodes made on another one
        # would end the recording.
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()  # for all graphs, since one runs at a time

    def run(self, work: Callable[[], Result]) -> Result:
        """Do the work at once, on the stream that records."""
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            result = work()
        torch.cuda.current_stream(self.device).wait_stream(self.stream)
        return result

    def record(self, work: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """Record the work without doing it; return what does it, and where its result will lie.

        Raises:
            UserError: The work waits for the device, or does something else that no graph can hold.
        """
        graph = torch.cuda.CUDAGraph()
        # thread_local: the thread that pins the next batches may go on.
        recording = torch.cuda.graph(graph, self.pool, self.stream, "thread_local")
        try:
            with torch.cuda.device(self.device), recording:
                result = work()
        except RuntimeError as error:
            cause = error.__context__ or error  # the end of a recording that broke fails, too
            if isinstance(cause, UserError):
                raise cause from None
            if out_of_memory(error) or out_of_memory(cause):
                raise
            raise UserError(
                f"loss_fn cannot be a CUDA graph ({short_reason(str(cause))}): in it nothing may"
                " wait for the device (.item(), a shape that depends on values, a copy to the"
                " host); set cuda_graphs to off"
            ) from error
        return graph.replay, result

    @staticmethod
    def host_state() -> object:
        """Return something that differs after a random number was drawn on the host."""
        _, keys, *rest = cast(tuple[Any, ...], np.random.get_state())
        return random.getstate(), keys.tolist(), rest, torch.get_rng_state().tolist()
