"""Exceptions whose messages are meant for the person at the keyboard."""

from __future__ import annotations

from collections.abc import Sequence


class UserError(ValueError):
    """Wrong input or a wrong setting; the message says what is wrong, where, and how to mend it.

    Command lines print it as one line and exit with code 2; a library caller sees a ValueError.
    """


class RunStopped(Exception):
    """The early end of a run; `exit_code` is the exit code that says why.

    It is 128 + the signal's number after a signal, as shells expect, and 1 after a failure that is
    not due to the user's input.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def shown(name: str) -> str:
    """Return a name as a message may hold it: on one line, and 80 characters at most."""
    if not name.isprintable():
        name = name.encode("unicode_escape").decode()
    return name if len(name) <= 80 else name[:77] + "..."


def first_few(names: Sequence[str]) -> str:
    """Return the first three names of a list, for a message; "none" if the list is empty."""
    return ", ".join(map(shown, names[:3])) + ", ..." * (len(names) > 3) or "none"


def require(condition: object, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)
