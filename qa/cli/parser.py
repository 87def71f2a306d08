"""What the command lines share: how flags are parsed and errors printed."""

from __future__ import annotations

import argparse
import difflib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from qa.cli.known_flags import Known
from qa.cli.streams import own_streams
from qa.cli.translate import translate
from qa.engine.console import is_main_process
from qa.engine.errors import Notice, RunStopped, UserError, out_of_memory

MAX_SUGGESTIONS = 3
CLOSE = 0.8  # share of the letters; below it difflib takes --freeze for --resume


def run_command(
    command: Callable[[], None], needs_output: bool = True, memory_advice: str = ""
) -> int:
    """Run a command and return its exit code; an error for people becomes a line on stderr.

    Args:
        command: What to run.
        needs_output: False if it goes on, and ends well, though nobody reads its stdout any more.
        memory_advice: What to do if it runs out of memory.
    """
    with own_streams(needs_output), printed_notices():
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
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
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


@contextmanager
def printed_notices() -> Iterator[None]:
    """In here every `Notice` becomes a line on stderr, of the first process only."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        show_other = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if not issubclass(category, Notice):
                show_other(message, category, *place)
            elif is_main_process():
                print(f"note: {message}", file=sys.stderr)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


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

    Args:
        known: What each flag of other programs is here.
        settings: Those of `argparse.ArgumentParser`.
    """

    def __init__(self, known: Mapping[str, Known] | None = None, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        self.known = known or {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse like argparse, with underscores in flags read as dashes."""
        return super().parse_known_args(
            self.in_own_flags(sys.argv[1:] if args is None else args), namespace
        )

    def in_own_flags(self, arguments: Iterable[str]) -> list[str]:
        """Return the arguments with dashes in flags, and with other programs' flags as ours."""
        given = with_negative_numbers(map(with_dashes, arguments))
        return translate(given, self.known, self._option_string_actions)

    def error(self, message: str) -> NoReturn:
        """Raise UserError with argparse's message, or with a suggestion for an unknown flag."""
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            words = message.removeprefix(prefix).split()
            if not words:
                raise UserError("an argument is empty: is a variable unset?")
            unknown = words[0].partition("=")[0]
            raise UserError(f"unknown flag {unknown}; {self._suggestion(unknown)}")
        raise UserError(message)

    def _suggestion(self, unknown: str) -> str:
        """Suggest the few flags that have all words of `unknown`, or else one spelt like it.

        A wrong guess is worse than none: it is looked up, or even tried.
        """
        name = unknown.removeprefix("--")
        names = [flag[2:] for flag in self._option_string_actions if flag.startswith("--")]
        close = [each for each in names if set(name.split("-")) <= set(each.split("-"))]
        if not 1 <= len(close) <= MAX_SUGGESTIONS:
            close = difflib.get_close_matches(name, names, n=1, cutoff=CLOSE)
        flags = " or ".join(f"--{each}" for each in close)
        return f"did you mean {flags}?" if close else "see --help"
