"""What the command lines share: errors for people."""

from __future__ import annotations

import sys
from collections.abc import Callable

from qa.engine.errors import UserError


def run_command(command: Callable[[], None]) -> int:
    """Run a command; a UserError becomes one line on stderr and exit code 2."""
    try:
        command()
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0
