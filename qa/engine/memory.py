"""Memory of the C library's heap."""

from __future__ import annotations

import ctypes


def release_free_memory() -> None:
    """Hand what lies free in the C library's heap back to the system, where that can be asked for.

    Tensors of ever new sizes leave gaps that no later one fits into, and a long evaluation would
    grow by them. It takes some milliseconds, and what is used again costs page faults: call it
    every few seconds, not every batch.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim  # glibc's
    except (AttributeError, OSError, TypeError):  # another C library, or none to look into
        return
    trim(0)
