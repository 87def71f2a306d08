"""Many processes training one model: who is who, and the few things they tell each other.

Started by torchrun, which sets RANK, WORLD_SIZE and LOCAL_RANK. Messages between hosts about counts
and decisions go over gloo on the CPU, so that none of them waits for a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from qa.engine.errors import require

LONGEST_WAIT = timedelta(days=1)
"""For what one process does alone, e.g. cut a large data set into windows; gloo's is half an hour.

A process that dies is noticed at once all the same: its connections close."""


@dataclass(frozen=True)
class World:
    """The processes of a run: this one's number and how many there are. One process by default."""

    rank: int = 0
    size: int = 1
    control: Any = None  # the gloo group for counts and decisions

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device, sharding: str) -> nn.Module:
        """The model whose backward averages gradients over all processes.

        sharding "fsdp": the model itself, changed in place so that each process holds a part of
        every weight; UserError in a single process.
        """
        if sharding == "fsdp":
            require(self.size > 1, "sharding fsdp needs several processes: start with torchrun")
            shard(model, device, self.size)
            return model
        if self.size == 1:
            return model
        return DistributedDataParallel(
            model, device_ids=[device] if device.type == "cuda" else None
        )

    def sum_ints(self, values: list[int]) -> list[int]:
        """Add up each number over all processes."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(tensor, group=self.control)
        return [int(value) for value in tensor]

    def sum_tensor(self, value: torch.Tensor) -> torch.Tensor:
        """Add up a tensor over all processes, on its device."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def from_main(self, value: Any) -> Any:
        """The main process's value, for all."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank, in the main process; [] in the others."""
        if self.size == 1:
            return [value]
        box: list[Any] | None = [None] * self.size if self.is_main else None
        dist.gather_object(value, box, dst=0, group=self.control)
        return box or []

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through the block before the others do, e.g. to fill a cache.

        They wait for `LONGEST_WAIT`. If the block raises in the main process, they go on waiting
        until it ends: then torchrun ends them too, and without it their wait raises RuntimeError.
        """
        if self.size > 1 and not self.is_main:
            dist.barrier(group=self.control)
        yield
        if self.size > 1 and self.is_main:
            dist.barrier(group=self.control)

    def leave(self) -> None:
        """Take the groups down; for the end of a run that went well."""
        if self.size > 1:
            dist.destroy_process_group()


SINGLE_PROCESS = World()


def join_world(device: torch.device) -> World:
    """Join the processes that torchrun started; alone, and without any effect, without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), size, dist.new_group(backend="gloo", timeout=LONGEST_WAIT))


def shard(model: nn.Module, device: torch.device, size: int) -> None:
    """Apply FSDP2 to the members of every ModuleList (a transformer's layers) and to the rest."""
    mesh = init_device_mesh(device.type, (size,))
    for module in list(model.modules()):
        if isinstance(module, nn.ModuleList):
            for block in module:
                fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def full_tensor(value: torch.Tensor) -> torch.Tensor:
    """The full tensor of which each process may hold a part."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def no_sync(model: nn.Module, is_last: bool) -> AbstractContextManager[Any]:
    """Keeps gradients local, except in the last micro-batch of a step, which adds them all up."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(is_last)
        return nullcontext()
    if isinstance(model, DistributedDataParallel) and not is_last:
        return model.no_sync()
    return nullcontext()
