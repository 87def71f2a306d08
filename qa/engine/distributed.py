"""Several processes that train one model: which one is which, and what they exchange.

torchrun starts them and sets RANK, WORLD_SIZE and LOCAL_RANK. Counts and decisions are exchanged
over gloo on the CPU, so that no such message waits for a GPU; gradients over NCCL on GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from qa.engine.errors import first_few, require

LONGEST_WAIT = timedelta(days=1)
"""How long processes wait for what one does alone, e.g. cutting a large data set into windows.

By itself gloo gives up after half an hour. A process that dies is noticed at once all the same,
since its connections close.
"""

Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """The processes of a run: which one this is, and how many there are; by default one alone."""

    rank: int = 0
    size: int = 1
    control: dist.ProcessGroup | None = None  # the gloo group for counts and decisions

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module, device: torch.device, sharding: str) -> nn.Module:
        """Return the model whose backward averages the gradients over all processes.

        Args:
            model: The model, on `device`.
            device: The device of this process.
            sharding: "none" copies all weights to every process (DDP). "fsdp" changes the model in
                place so that each process holds a part of every weight (FSDP2).

        Raises:
            UserError: "fsdp" was asked for in a single process.
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
        """Return the sum of each number over all processes."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(tensor, group=self.control)
        return [int(value) for value in tensor]

    def sum_scalars(self, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the sum of each scalar over all processes, which all have the same names.

        One message, on the tensors' device.
        """
        if self.size == 1:
            return values
        names = sorted(values)  # each process may have them in another order
        stacked = torch.stack([values[name] for name in names])
        dist.all_reduce(stacked)
        return dict(zip(names, stacked, strict=True))

    def from_main(self, value: Value) -> Value:
        """Return the main process's value in every process; the other values are ignored."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def gather(self, value: Value) -> list[Value]:
        """Return every process's value, by rank, in the main process; [] in the others."""
        if self.size == 1:
            return [value]
        box = [value] * self.size if self.is_main else None
        dist.gather_object(value, box, dst=0, group=self.control)
        return box or []

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process go through the block before the others do, e.g. to fill a cache.

        The others wait, for `LONGEST_WAIT` at most. If the block raises in the main process, they
        wait until that process ends: then torchrun ends them too, and without torchrun their wait
        raises RuntimeError.
        """
        if self.size > 1 and not self.is_main:
            dist.barrier(group=self.control)
        yield
        if self.size > 1 and self.is_main:
            dist.barrier(group=self.control)

    def leave(self) -> None:
        """Close the connections to the other processes, at the end of a run that went well."""
        if self.size > 1:
            dist.destroy_process_group()


SINGLE_PROCESS = World()


def join_world(device: torch.device) -> World:
    """Join the processes that torchrun started; return a world of one if it started none."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), size, dist.new_group(backend="gloo", timeout=LONGEST_WAIT))


def shard(model: nn.Module, device: torch.device, size: int) -> None:
    """Apply FSDP2 to each member of every ModuleList (a transformer's layers), and to the rest.

    To inner ones first, as FSDP2 needs it.
    """
    mesh = init_device_mesh(device.type, (size,))
    for module in reversed(list(model.modules())):
        if isinstance(module, nn.ModuleList):
            for block in module:
                if not isinstance(block, nn.ModuleList):  # which has no forward
                    fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def require_gradients(model: nn.Module) -> None:
    """Raise UserError, naming them, if no gradient reached weights that DDP exchanges.

    It would fail at the next step, when the processes have other weights already.
    """
    if not isinstance(model, DistributedDataParallel):
        return
    names = [n for n, p in model.module.named_parameters() if p.requires_grad and p.grad is None]
    require(
        not names,
        f"no gradient reaches {len(names)} trained weights ({first_few(names)}), which several"
        " processes cannot exchange; freeze them by requires_grad_(False)",
    )


def full_tensor(value: torch.Tensor) -> torch.Tensor:
    """Return the whole of a tensor of which each process may hold a part."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def no_sync(model: nn.Module, is_last: bool) -> AbstractContextManager[None]:
    """Return a context whose backward exchanges gradients only in a step's last micro-batch.

    In the others gradients add up within the process, so one exchange is enough for the step.
    """
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(is_last)
        return nullcontext()
    if isinstance(model, DistributedDataParallel) and not is_last:
        return model.no_sync()
    return nullcontext()
