"""What the command lines share: how flags are parsed and errors printed."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from qa.cli.streams import own_streams
from qa.engine.errors import RunStopped, UserError, out_of_memory


def run_command(
    command: Callable[[], None], needs_output: bool = True, memory_advice: str = ""
) -> int:
    """Run a command and return its exit code; an error for people becomes a line on stderr.

    Args:
        command: What to run.
        needs_output: False if it goes on, and ends well, though nobody reads its stdout any more.
        memory_advice: What to do if it runs out of memory.
    """
    with own_streams(needs_output):
        try:
            command()
            if sys.stdout is not None:  # None: closed from the start
                sys.stdout.flush()  # here, where a failure can still be told
        except UserError as error:
            # Only a table, after a line end, takes more than a line.
            line, _, table = str(error).partition("\n")
            print(f"error: {line}", *[table] * bool(table), sep="\n", file=sys.stderr)
            return 2
        except RunStopped as stopped:
            if str(stopped):
                print(stopped, file=sys.stderr)
            return stopped.exit_code
        except OSError as error:  # the machine's state, not a mistake of the program
            file = f": {error.filename}" if error.filename else ""
            print(f"error: {error.strerror or error}{file}", file=sys.stderr)
            return 1
        except (RuntimeError, MemoryError) as error:
            reason = out_of_memory(error)
            if reason is None:
                raise
            advice = f"; {memory_advice}" if memory_advice else ""
            print(f"error: out of memory ({reason}){advice}", file=sys.stderr)
            return 1
    return 0


def with_dashes(argument: str) -> str:
    """Write the name of a flag with dashes: `--train_data=a_b` -> `--train-data=a_b`."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def with_negative_numbers(arguments: Iterable[str]) -> list[str]:
    """Join flags and negative numbers: `--flag`, `-1e8` -> `--flag=-1e8`.

    argparse takes `-1e8` alone for a flag.
    """
    joined: list[str] = []
    for argument in arguments:
        flag = joined[-1] if joined else ""
        takes_value = flag.startswith("--") and flag != "--" and "=" not in flag
        if takes_value and argument.startswith("-") and is_number(argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def is_number(text: str) -> bool:
    """Return whether Python reads `text` as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


class Parser(argparse.ArgumentParser):
    """Accepts dashes and underscores, no abbreviations, and negative numbers in any notation.

    A mistake is a UserError that suggests what was meant.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse like argparse, with underscores in flags read as dashes."""
        given = map(with_dashes, sys.argv[1:] if args is None else args)
        return super().parse_known_args(with_negative_numbers(given), namespace)

    def error(self, message: str) -> NoReturn:
        """Raise UserError with argparse's message, or with a suggestion for an unknown flag."""
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            unknown = message.removeprefix(prefix).split()[0].partition("=")[0]
            raise UserError(f"unknown flag {unknown}; {self._suggestion(unknown)}")
        raise UserError(message)

    def _suggestion(self, unknown: str) -> str:
        """Suggest the flags that contain `unknown`, or else the most similar one."""
        letters = unknown.replace("-", "")
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        close = [flag for flag in flags if letters and letters in flag.replace("-", "")]
        close = close or difflib.get_close_matches(unknown, flags, n=1)
        return f"did you mean {' or '.join(close)}?" if close else "see --help"
