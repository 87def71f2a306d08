"""The one exception that is meant for the person at the keyboard."""

from __future__ import annotations


class UserError(ValueError):
    """Wrong input or a wrong setting; the message says what, where and how to mend it.

    Command lines print it as one line and exit with code 2; a library caller sees a ValueError.
    """


def require(condition: object, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)
