"""A command's stdout and stderr: they print any text, and outlive whoever reads them."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qa.engine.errors import RunStopped

READER_LEFT = 128 + getattr(signal, "SIGPIPE", 13)
"""The exit code that shells show for a tool whose reader, such as `head`, has left."""


class Output(io.FileIO):
    """An open file that takes everything, also what cannot be written any more.

    Args:
        descriptor: The file's.
        is_needed: The first failed write is told once: RunStopped, without a word, if nobody reads
            any more, OSError otherwise. What comes after it is lost in silence all the same, since
            a buffer offers the same bytes again.
    """

    def __init__(self, descriptor: int, is_needed: bool) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.is_needed = is_needed

    def write(self, data: Any) -> int:
        """Write the bytes; returns how many were written, or are lost."""
        try:
            return super().write(data)
        except OSError as error:  # nobody reads, a terminal that is gone, a full disk
            was_needed, self.is_needed = self.is_needed, False
            if was_needed and isinstance(error, BrokenPipeError):
                raise RunStopped("", READER_LEFT) from None
            if was_needed:
                error.filename = "stdout"
                raise
        return memoryview(data).nbytes


@contextmanager
def own_streams(needs_output: bool) -> Iterator[None]:
    """In here Python's own stdout and stderr are `Output`s, and stdout escapes what it must.

    What its encoding lacks, such as Korean on an ASCII console, is escaped as Python does it on
    stderr. Streams that somebody put into the place of Python's own are left alone.

    Args:
        needs_output: Whether the command has no purpose without its stdout.
    """
    opened: dict[str, tuple[Any, io.TextIOWrapper]] = {}
    for name, is_needed in (("stdout", needs_output), ("stderr", False)):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and writes_to_file(stream):
            stream.flush()
            opened[name] = stream, open_again(stream, is_needed)
            setattr(sys, name, opened[name][1])
    try:
        yield
    finally:
        for name, (stream, own) in opened.items():
            setattr(sys, name, stream)
            own.buffer.raw.is_needed = False  # type: ignore[attr-defined]  # an `Output`
            own.flush()


def writes_to_file(stream: Any) -> bool:
    """Whether a stream encodes text into a file, which a console of Windows is not."""
    buffer = getattr(stream, "buffer", None)
    return isinstance(getattr(buffer, "raw", buffer), io.FileIO)


def open_again(stream: io.TextIOWrapper, is_needed: bool) -> io.TextIOWrapper:
    """Another stream to the same file, by way of an `Output`."""
    return io.TextIOWrapper(
        io.BufferedWriter(Output(stream.fileno(), is_needed)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or stream.write_through,
    )
