"""Loading batches, with data workers that end with their process and whose deaths are told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing import active_children, connection
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, cast
from weakref import WeakSet

import torch
from torch.utils.data import DataLoader, Dataset

from qa.engine.batch import Batch, move_to_device
from qa.engine.signals import ignore_stop_signals

WORKERS: WeakSet[BaseProcess] = WeakSet()  # of this process; those that ended fall out
SECONDS_TO_DIE = 1.0  # from the moment when a worker's connections close


def load_batches(
    dataset: Any,
    index_batches: list[list[Any]],
    collate_fn: Callable[[list[Any]], Batch] | None,
    device: torch.device,
    num_workers: int,
    seed: int,
) -> Generator[Batch, None, None]:
    """Yield the batch of each list of indices, on the device; see `TrainingRun`.

    `num_workers` processes prepare batches ahead of time, with generators that `seed` seeds; with 0
    this process does, on demand.
    """
    if not index_batches:
        return
    loader = DataLoader(
        cast("Dataset[Any]", dataset),
        batch_sampler=index_batches,
        collate_fn=collate_fn,
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=ignore_stop_signals,
        # Its own generator: otherwise every new loader draws from the global one, which dropout
        # uses, and a resumed run, having made one loader more, would differ.
        generator=torch.Generator().manual_seed(seed),
    )
    for batch in iterate_batches(loader):
        yield move_to_device(batch, device)


def iterate_batches(loader: DataLoader[Any]) -> Iterator[Any]:
    """Iterate over a loader; torch's RuntimeError, `is_worker_death`, if a worker was killed."""
    with noting_workers() as own:
        batches = iter(loader)
    try:
        yield from batches
    # A worker killed while it sends a batch is told as "Connection reset by peer" and the like.
    except (OSError, EOFError) as error:
        dying = connection.wait([worker.sentinel for worker in own], SECONDS_TO_DIE)
        for worker in own:
            if worker.sentinel in dying:
                worker.join(SECONDS_TO_DIE)
            if worker.exitcode:
                raise RuntimeError(
                    f"DataLoader worker (pid {worker.pid}) died with exit code {worker.exitcode}"
                ) from error
        raise


@contextmanager
def noting_workers() -> Iterator[set[BaseProcess]]:
    """Note the data workers that are started in this context; what it gives holds them afterwards.

    Those that are still there when this process exits are killed. There multiprocessing sends
    SIGTERM, which they ignore (`ignore_stop_signals`), and waits for them: for ever if anything
    still holds the loader, as the traceback of an exception does.
    """
    before = set(active_children())
    own: set[BaseProcess] = set()
    try:
        yield own
    finally:  # also if only some of them could be started
        own |= {child for child in set(active_children()) - before if child.daemon}
        if own:
            WORKERS.update(own)
            kill_at_exit(os.getpid())


def is_worker_death(error: BaseException | None) -> bool:
    """Whether an error tells that a data worker died; torch has no class for it.

    Its signal handler raises it, so it may come out of any line of the main thread.
    """
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")


@cache
def kill_at_exit(pid: int) -> None:
    """Let this process kill its workers when it exits; once a process, forks each their own.

    Behind what ends a `multiprocessing.Pool`, whose workers may hold a lock of it when they die,
    and before multiprocessing waits for all that are left.
    """
    Finalize(None, kill_workers, exitpriority=0)


def kill_workers() -> None:
    """Kill the workers that are left; only for the end of this process."""
    left = [worker for worker in WORKERS if worker.is_alive()]
    if left and hasattr(signal, "SIGCHLD"):
        # torch's handler raises an error for a killed worker, but this one is no news.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in left:
        worker.kill()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=WORKERS.clear)  # they are not the child's to kill
