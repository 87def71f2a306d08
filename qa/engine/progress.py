"""A progress bar that can be watched, and that leaves readable lines in a file."""

from __future__ import annotations

import sys
from typing import TextIO

from tqdm import tqdm


class _Lines:
    """Turns tqdm's carriage returns into line ends, for a stream that is not a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        line = text.replace("\r", "").strip()
        if line:
            self._stream.write(line + "\n")

    def flush(self) -> None:
        self._stream.flush()


def progress_bar(total: int, initial: int = 0, unit: str = "step", hidden: bool = False) -> tqdm:
    """A tqdm bar on stderr; redirected to a file it writes a line at most every 10 seconds.

    hidden: show nothing, for all processes but one.
    """
    if hidden:
        return tqdm(total=total, initial=initial, disable=True)
    if sys.stderr.isatty():
        return tqdm(total=total, initial=initial, unit=unit, dynamic_ncols=True)
    return tqdm(
        total=total,
        initial=initial,
        unit=unit,
        file=_Lines(sys.stderr),
        mininterval=10.0,
        maxinterval=float("inf"),
        ncols=100,
        ascii=True,
    )
