"""Exceptions whose messages are meant for the person at the keyboard."""

from __future__ import annotations

import warnings
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


class Notice(UserWarning):
    """Something that the person at the keyboard should know, and that stops nothing.

    Command lines print it as a line that begins with "note: "; a library caller sees a warning.
    """


def notice(text: str) -> None:
    """Give a `Notice`: one line that says what, how often, and where."""
    warnings.warn(text, Notice, stacklevel=3)


def shown(name: str) -> str:
    """Return a name as a message may hold it: on one line, and 80 characters at most."""
    if not name.isprintable():
        name = name.encode("unicode_escape").decode()
    return name if len(name) <= 80 else name[:77] + "..."


def first_few(names: Sequence[str]) -> str:
    """Return the first three names of a list, for a message; "none" if the list is empty."""
    return ", ".join(map(shown, names[:3])) + ", ..." * (len(names) > 3) or "none"


def type_name(value: object) -> str:
    """Return the name of a value's type, e.g. "numpy.float64", for a message."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


MEMORY_SIGNS = (
    "out of memory",  # torch on CUDA and other accelerators
    "can't allocate memory",  # torch on a CPU
    "not enough memory",  # the same on Windows
    "STATUS_ALLOC_FAILED",  # cuBLAS and cuDNN
)
LONGEST_REASON = 160  # characters of another library's text in a message


def out_of_memory(error: BaseException | None) -> str | None:
    """What an allocator says in an error that means "out of memory"; None for other errors.

    Without torch, which has a class for some of them only.
    """
    if isinstance(error, MemoryError):
        return short_reason(str(error)) or "MemoryError"
    if not isinstance(error, RuntimeError):
        return None
    for line in str(error).splitlines():  # a data worker's error has a traceback before it
        places = [line.find(sign) for sign in MEMORY_SIGNS if sign in line]
        if places:
            sentence = line.rfind(". ", 0, places[0]) + 1
            return cut(line[sentence:].strip())
    return None


def short_reason(text: str) -> str:
    """The first sentence of another library's error, which may go on for a page."""
    line = (text.strip().splitlines() or [""])[0]
    return cut(line.split(". ")[0].removesuffix("."))


def cut(text: str) -> str:
    """A text as a message may hold it: on one line, not too long, and not cut inside a word."""
    words = " ".join(text.split())
    if len(words) <= LONGEST_REASON:
        return words
    return words[: LONGEST_REASON - 4].rsplit(" ", 1)[0] + " ..."


def require(condition: object, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)
