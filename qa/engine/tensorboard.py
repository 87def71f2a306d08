"""Writing TensorBoard's event files."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from qa.engine.atomic_files import naming
from qa.engine.curve_lines import CurveLines

SECONDS_TO_DIE = 1.0  # a thread that has failed only reports that and ends, so this is plenty


def writing_threads() -> set[threading.Thread]:
    """Return the threads in which TensorBoard writes; no public function tells them."""
    return {each for each in threading.enumerate() if is_writing_thread(each)}


def is_writing_thread(thread: threading.Thread | None) -> bool:
    """Return whether TensorBoard writes in this thread."""
    return type(thread).__name__ == "_AsyncWriterThread"


class ThreadHook:
    """A `threading.excepthook`, until `remove`, that prints nothing for TensorBoard's threads.

    `TensorBoard.flush` raises the failures of those threads again. The failures of other threads go
    to the hook that was there before.
    """

    def __init__(self) -> None:
        self._before = threading.excepthook
        self._is_removed = False
        threading.excepthook = self

    def __call__(self, args: threading.ExceptHookArgs) -> None:
        if not is_writing_thread(args.thread):
            self._before(args)

    def remove(self) -> None:
        """Put the earlier hook back, unless a later hook has taken the place of this one.

        A later hook of another kind stays for good. A later `ThreadHook` stays until it is removed
        itself, and then puts back the hook that was there before both.
        """
        self._is_removed = True
        while isinstance(hook := threading.excepthook, ThreadHook) and hook._is_removed:
            threading.excepthook = hook._before


def has_point(directory: Path, tag: str, step: int) -> bool:
    """Return whether the curve `tag` of an event directory has a point at `step` already."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not directory.is_dir():
        return False
    events = EventAccumulator(str(directory), size_guidance={"scalars": 0})
    logger = logging.getLogger("tensorboard")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of a run that went back, taking it for an accident
    try:
        events.Reload()
    finally:
        logger.setLevel(level)
    known = tag in events.Tags()["scalars"]
    return known and any(event.step == step for event in events.Scalars(tag))


def wait_for_another_second(directory: Path) -> None:
    """Wait until the name of a new event file is sorted behind those that are there.

    It begins with the second, and then has the process, whose numbers are not in order: of a run
    that is killed and resumed within a second TensorBoard would drop the points before the kill.
    """
    seconds = [path.name.split(".")[3] for path in directory.glob("events.out.tfevents.*")]
    newest = max((int(each) for each in seconds if each.isdecimal()), default=0)
    time.sleep(min(max(newest + 1 - time.time(), 0.0), 1.0))  # a clock may have been ahead


class TensorBoard:
    """Writes the curves and texts of one run into one folder.

    With the directory None, which is meant for all processes but the main one, it writes nothing.
    Otherwise a `ThreadHook` stands in for `threading.excepthook` until `close`.

    A resumed run passes as `resumed_at` the step from which it starts. TensorBoard then drops later
    points, which the interrupted run had already written, so that no curve has points twice. A run
    that starts from the beginning drops all points of an earlier one in the folder.

    Args:
        directory: The folder.
        resumed_at: The step from which the run is resumed; 0: it starts from the beginning.
        lines: A file that gets the points of the curves too, as JSON lines.
    """

    def __init__(
        self,
        directory: Path | str | None,
        resumed_at: int = 0,
        lines: Path | str | None = None,
    ) -> None:
        self._lines: CurveLines | None = None
        self._writer: SummaryWriter | None = None
        self._directory = Path(directory or "")
        self._opened = ExitStack()
        if directory is None:
            return
        purge_step = resumed_at + 1 if resumed_at else 0  # from the beginning: all points
        others = writing_threads()
        with ExitStack() as opened:
            if lines is not None:
                self._lines = CurveLines(Path(lines), resumed_at)
                opened.callback(self._lines.close)
            opened.callback(ThreadHook().remove)  # set before the thread starts, and may fail
            wait_for_another_second(self._directory)
            self._writer = SummaryWriter(str(directory), purge_step=purge_step)
            for thread in writing_threads() - others:
                # If it has just failed, it still needs the hook, so wait until it has ended.
                opened.callback(thread.join, SECONDS_TO_DIE)
            opened.callback(self._writer.close)
            self._opened = opened.pop_all()

    def scalars(self, values: Mapping[str, float | torch.Tensor], step: int) -> None:
        """Write one point of each named curve; of a tensor, (), this waits for the device."""
        if self._lines:  # first and at once: what TensorBoard has after a kill is here too
            self._lines.write(values, step)
        if self._writer:
            with naming(self._directory):  # here and below: the thread's failure, if it had one
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str, step: int = 0) -> None:
        """Write a text in Markdown, which TensorBoard renders."""
        if self._writer:
            with naming(self._directory):
                self._writer.add_text(name, text, step)

    def pr_curve(self, name: str, labels: np.ndarray, scores: np.ndarray, step: int) -> None:
        """Write a precision-recall curve over all thresholds.

        Args:
            name: Tag of the curve.
            labels: (n,) bool, whether each case is positive.
            scores: (n,) float, higher for cases that look positive.
            step: The step at which the curve is shown.
        """
        if self._writer:
            # TensorBoard wants scores from 0 to 1; ranks keep the order, which is all that counts.
            ranks = (np.argsort(np.argsort(scores)) + 1) / len(scores)
            with naming(self._directory):
                self._writer.add_pr_curve(name, labels, ranks, step)

    def flush(self) -> None:
        """Write everything so far to disk, e.g. before a checkpoint that relies on it."""
        if self._lines:
            self._lines.flush()
        if self._writer:
            with naming(self._directory):
                self._writer.flush()

    def close(self) -> None:
        """Flush and close; raise the exception that ended the writing thread, if one did."""
        self._opened.close()
