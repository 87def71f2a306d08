"""A quicker start."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Garbage is not looked for in here, or in a function that this decorates.

    Importing torch and transformers makes a million objects, all of which stay: looking through
    them over and over takes a quarter of the start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
