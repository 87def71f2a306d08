"""What the command lines share: errors for people."""

from __future__ import annotations

import sys
from collections.abc import Callable

from qa.engine.errors import RunStopped, UserError


def run_command(command: Callable[[], None]) -> int:
    """Run a command; a UserError or RunStopped becomes one line on stderr and an exit code."""
    try:
        command()
    except UserError as error:
        # Only a table, set off by a line end, takes more than a line.
        line, _, table = str(error).partition("\n")
        print(f"error: {line}", *[table] * bool(table), sep="\n", file=sys.stderr)
        return 2
    except RunStopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    return 0
