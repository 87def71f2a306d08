"""Writing TensorBoard's event files."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter


def report_thread(args: threading.ExceptHookArgs) -> None:
    """As Python does, but silent for TensorBoard's thread: `flush` raises its failure again."""
    if type(args.thread).__name__ != "_AsyncWriterThread":
        threading.__excepthook__(args)


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
    interrupted run had already written, so no curve has doubled points.
    """

    def __init__(self, directory: Path | None, resumed_at: int = 0) -> None:
        threading.excepthook = report_thread
        self._writer: SummaryWriter | None = None
        if directory is not None:
            purge_step = resumed_at + 1 if resumed_at else None
            self._writer = SummaryWriter(str(directory), purge_step=purge_step)

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Write one point of each named curve."""
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str, step: int = 0) -> None:
        """Write a text; Markdown is rendered."""
        if self._writer:
            self._writer.add_text(name, text, step)

    def pr_curve(self, name: str, labels: np.ndarray, scores: np.ndarray, step: int) -> None:
        """Write precision and recall over all thresholds. labels: (n,) bool; scores: (n,)."""
        if self._writer:
            ranks = (np.argsort(np.argsort(scores)) + 1) / len(scores)  # TensorBoard wants 0 to 1
            self._writer.add_pr_curve(name, labels, ranks, step)

    def flush(self) -> None:
        """Put everything written so far on disk, e.g. before a checkpoint that relies on it."""
        if self._writer:
            self._writer.flush()

    def close(self) -> None:
        """Flush and close."""
        if self._writer:
            self._writer.close()
