"""Saving checkpoints while training goes on."""

from __future__ import annotations

import errno
import os
import threading
from copy import copy
from pathlib import Path
from typing import Any

import torch

from qa.engine.checkpoint import prune_checkpoints, save_checkpoint
from qa.engine.errors import require
from qa.engine.loadable import require_loadable


class CheckpointWriter:
    """Saves checkpoints into a directory and removes old ones.

    Args:
        directory: The folder of all checkpoints; it is made if it is missing.
        limit: How many of the newest checkpoints are kept, 1 or more; None: all. Those of later
            steps than the one that is saved are of another course of the run, and are removed.
        background: Let a thread write, so that `save` takes only the time of a copy of the state
            to host memory. A failure of the thread is raised by the next call of `check`, `wait` or
            `save`; call `check` after every step to hear of it soon.
    """

    def __init__(self, directory: Path | str, limit: int | None, background: bool = False) -> None:
        require(limit is None or limit >= 1, f"limit must be at least 1 or None, not {limit}")
        self.directory = Path(directory)
        self.limit = limit
        self.background = background
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.directory.mkdir(parents=True, exist_ok=True)

    def save(
        self,
        step: int,
        state: dict[str, Any],
        summary: dict[str, Any],
        keep_steps: tuple[int, ...] = (),
    ) -> None:
        """Save a checkpoint, then remove old ones.

        Args:
            step: The step that the checkpoint is named after.
            state: See `save_checkpoint`.
            summary: See `save_checkpoint`.
            keep_steps: Steps whose checkpoints stay whatever the limit.
        """
        self.wait()  # one at a time: two would double the memory of the copies
        if not self.background:
            self._write(step, state, summary, keep_steps)
            return
        require_loadable(state)  # here, and not at the next step
        copied = to_host(state)
        self._thread = threading.Thread(
            target=self._write_and_note, args=(step, copied, summary, keep_steps)
        )
        self._thread.start()

    def check(self) -> None:
        """Raise the exception that ended a write in the background, if one did, without waiting."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def wait(self) -> None:
        """Wait until nothing is being written, then `check`."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def close(self) -> None:
        """Wait until nothing is being written, and raise nothing if that failed."""
        if self._thread is not None:
            self._thread.join()

    def _write(
        self,
        step: int,
        state: dict[str, Any],
        summary: dict[str, Any],
        keep_steps: tuple[int, ...],
    ) -> None:
        if not self.directory.is_dir():  # a person removed it: do not make it again in silence
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.directory))
        save_checkpoint(self.directory, step, state, summary)
        prune_checkpoints(self.directory, self.limit, keep_steps, newest_step=step)

    def _write_and_note(self, *arguments: Any) -> None:
        try:
            self._write(*arguments)
        except BaseException as failure:  # `check` raises it again in the main thread
            self._failure = failure


def to_host(value: Any) -> Any:
    """Return a copy of a nested state, its tensors in host memory, which training cannot change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        copied = copy(value)  # with what a module's state tells besides: the versions of its parts
        for key, item in value.items():
            copied[key] = to_host(item)
        return copied
    if isinstance(value, (list, tuple)):
        return type(value)(to_host(item) for item in value)
    return value
