"""Printing where many processes run. Imports nothing heavy, since it comes before all else."""

from __future__ import annotations

import os


def print_main(line: str) -> None:
    """Print a line at once; under torchrun only the first process does."""
    if os.environ.get("RANK", "0") == "0":
        print(line, flush=True)
