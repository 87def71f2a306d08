"""Writing TensorBoard's event files."""

from __future__ import annotations

from pathlib import Path

from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """Scalars and texts of one run in one folder; None, for all processes but one, writes nothing.

    resumed_at: the step a resumed run starts from; TensorBoard then drops later points that the
    interrupted run had already written, so no curve has doubled points.
    """

    def __init__(self, directory: Path | None, resumed_at: int = 0) -> None:
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

    def flush(self) -> None:
        """Put everything written so far on disk, e.g. before a checkpoint that relies on it."""
        if self._writer:
            self._writer.flush()

    def close(self) -> None:
        """Flush and close."""
        if self._writer:
            self._writer.close()
