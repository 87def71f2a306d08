"""Writing TensorBoard's event files."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from qa.engine.atomic_files import naming

SECONDS_TO_DIE = 1.0  # for a thread that has failed: nothing is left to it but to say so


def writing_threads() -> set[threading.Thread]:
    """The threads in which TensorBoard writes; nothing public tells which they are."""
    return {each for each in threading.enumerate() if is_writing_thread(each)}


def is_writing_thread(thread: threading.Thread | None) -> bool:
    """Whether TensorBoard writes in this thread."""
    return type(thread).__name__ == "_AsyncWriterThread"


class ThreadHook:
    """A `threading.excepthook` until `remove`: silent for TensorBoard's threads alone.

    `TensorBoard.flush` raises their failures again. Other threads go to the hook before this one.
    """

    def __init__(self) -> None:
        self._before = threading.excepthook
        self._is_removed = False
        threading.excepthook = self

    def __call__(self, args: threading.ExceptHookArgs) -> None:
        if not is_writing_thread(args.thread):
            self._before(args)

    def remove(self) -> None:
        """Put the hook before this one back; a later one of somebody else's stays.

        A later one of this kind stays too, and takes this one away with itself.
        """
        self._is_removed = True
        while isinstance(hook := threading.excepthook, ThreadHook) and hook._is_removed:
            threading.excepthook = hook._before


def has_point(directory: Path, tag: str, step: int) -> bool:
    """Whether a curve has a point at `step` already."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    events.Reload()
    known = tag in events.Tags()["scalars"]
    return known and any(event.step == step for event in events.Scalars(tag))


class TensorBoard:
    """Scalars and texts of one run in one folder; None, for all processes but one, writes nothing.

    resumed_at: the step a resumed run starts from; TensorBoard then drops later points that the
    interrupted run had already written, so no curve has doubled points. Until `close` a
    `ThreadHook` stands in front of `threading.excepthook`; None leaves that alone.
    """

    def __init__(self, directory: Path | None, resumed_at: int = 0) -> None:
        self._writer: SummaryWriter | None = None
        self._directory = Path() if directory is None else directory
        self._opened = ExitStack()
        if directory is None:
            return
        purge_step = resumed_at + 1 if resumed_at else None
        others = writing_threads()
        with ExitStack() as opened:
            opened.callback(ThreadHook().remove)  # before the thread, which may fail at once
            self._writer = SummaryWriter(str(directory), purge_step=purge_step)
            for thread in writing_threads() - others:
                # It may have failed just now, and must not find the hook gone.
                opened.callback(thread.join, SECONDS_TO_DIE)
            opened.callback(self._writer.close)
            self._opened = opened.pop_all()

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Write one point of each named curve."""
        if self._writer:
            with naming(self._directory):  # here and below: the thread's failure, if it had one
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str, step: int = 0) -> None:
        """Write a text; Markdown is rendered."""
        if self._writer:
            with naming(self._directory):
                self._writer.add_text(name, text, step)

    def pr_curve(self, name: str, labels: np.ndarray, scores: np.ndarray, step: int) -> None:
        """Write precision and recall over all thresholds. labels: (n,) bool; scores: (n,)."""
        if self._writer:
            ranks = (np.argsort(np.argsort(scores)) + 1) / len(scores)  # TensorBoard wants 0 to 1
            with naming(self._directory):
                self._writer.add_pr_curve(name, labels, ranks, step)

    def flush(self) -> None:
        """Put everything written so far on disk, e.g. before a checkpoint that relies on it."""
        if self._writer:
            with naming(self._directory):
                self._writer.flush()

    def close(self) -> None:
        """Flush and close; raises what has kept the thread from writing."""
        self._opened.close()
