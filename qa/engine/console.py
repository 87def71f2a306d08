"""Printing where many processes run. Nothing heavy is imported, since it prints first of all."""

from __future__ import annotations

import os


def print_main(line: str) -> None:
    """Print a line at once; under torchrun only the first process prints it."""
    if os.environ.get("RANK", "0") == "0":
        print(line, flush=True)
