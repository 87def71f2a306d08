"""Printing where many processes run. Nothing heavy is imported, since it prints first of all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from qa.engine.errors import RunStopped, UserError


def is_main_process() -> bool:
    """Whether this is the first process under torchrun, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def print_main(line: str) -> None:
    """Print a line at once; under torchrun only the first process prints it."""
    if is_main_process():
        print(line, flush=True)


@contextmanager
def told_by_main() -> Iterator[None]:
    """A UserError in here, which all processes raise alike, leaves the others without a word."""
    try:
        yield
    except UserError as error:
        if is_main_process():
            raise
        raise RunStopped("", exit_code=2) from error
