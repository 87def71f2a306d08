"""Flags that others know, written as flags of ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from qa.cli.known_flags import Answer, Choice, Known, Same, Switch
from qa.engine.console import print_main
from qa.engine.errors import UserError, require

YES = ("true", "t", "yes", "y", "1")
NO = ("false", "f", "no", "n", "0")


def translate(
    arguments: Sequence[str], known: Mapping[str, Known], own: Collection[str]
) -> list[str]:
    """Return a command line in flags of ours; print a line for each flag that was another.

    Args:
        arguments: The command line, its flags written with dashes.
        known: What each of the others' flags is here.
        own: Our flags, which stay as they are even if they are among the known ones.

    Raises:
        UserError: A flag has no equal here, or two say the same thing.
    """
    known = {flag: what for flag, what in known.items() if flag not in own}
    require_equals(arguments, known)
    translated: list[str] = []
    said_by: dict[str, str] = {}  # a flag of ours -> the one that stands on the command line
    rest = list(arguments)
    present = {argument.partition("=")[0] for argument in arguments}
    while rest:
        argument = rest.pop(0)
        flag = argument.partition("=")[0]
        ours = [argument]
        if flag in known:
            ours = in_our_words(argument, rest, known[flag], present)
        for name in (each.partition("=")[0] for each in ours if each.startswith("--")):
            other = said_by.setdefault(name, flag)
            # Of a flag of ours that is repeated the last one counts, as always.
            are_ours = other not in known and flag not in known
            require(other == flag or are_ours, f"pass {other} or {flag}, not both")
        translated += ours
    return translated


def require_equals(arguments: Sequence[str], known: Mapping[str, Known]) -> None:
    """Raise UserError with what to do instead of every flag that has no equal here."""
    flags = dict.fromkeys(argument.partition("=")[0] for argument in arguments)
    answers = {flag: known[flag] for flag in flags if isinstance(known.get(flag), Answer)}
    if answers:
        raise UserError("\n".join(f"{flag}: {answer[0]}" for flag, answer in answers.items()))


def in_our_words(
    argument: str, rest: list[str], what: Known, present: Collection[str]
) -> list[str]:
    """Return what an argument is here; its value is taken from `rest` if it stands there.

    `present`: the flags of the whole command line.
    """
    flag, equals, value = argument.partition("=")
    if isinstance(what, Same):
        print_main(f"{flag} is {what.flag} here")
        return [what.flag + equals + value]
    follows = not equals and bool(rest) and not rest[0].startswith("--")
    if follows and (isinstance(what, Choice) or rest[0].lower() in YES + NO):
        value = rest.pop(0)
    if isinstance(what, Switch):
        require(value.lower() in ("", *YES, *NO), f"{flag} is true or false, not {value!r}")
        ours = "" if value.lower() in NO else what.flags
    else:
        assert isinstance(what, Choice)  # answers were given already
        ours = what.flags.get(value, "")
        is_taken = value in what.flags and (ours or what.needs in ("", *present))
        require(is_taken, f"{' '.join(filter(None, (flag, value)))}: {what.answer}")
    meaning = f"is {ours} here" if ours else "changes nothing here"
    print_main(" ".join(filter(None, (flag, value, meaning))))
    return ours.split()
