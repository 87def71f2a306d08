"""A progress bar to watch in a terminal, and as readable lines in a file."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from tqdm import tqdm


class _Lines:
    """Writes each state of tqdm's bar as a line of its own, for a stream that is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        line = text.replace("\r", "").strip()
        if line:
            self._stream.write(line + "\n")

    def flush(self) -> None:
        self._stream.flush()


def progress_bar(
    total: int, initial: int = 0, unit: str = "step", hidden: bool = False
) -> tqdm[Any]:
    """Return a tqdm bar on stderr; redirected to a file it writes a line every 10 s at most.

    Args:
        total: How many units there are.
        initial: How many of them are done already.
        unit: What is counted.
        hidden: Show nothing; for all processes but the main one.
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
