"""What people pass to a `Reader`, checked: questions with their contexts, and settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, TypeAlias

from qa.data.examples import Example, check_text
from qa.engine.errors import UserError, first_few, notice, require, shown

Pair: TypeAlias = tuple[str, str] | Mapping[str, Any] | Example
PAIR = '(question, context) or {"question": ..., "context": ...}'
NAMES = ("question", "context")


def to_examples(pairs: Iterable[Pair]) -> list[Example]:
    """Return the pairs as examples whose ids count from 0.

    Args:
        pairs: Tuples or lists (question, context), mappings with `question` and `context`, or
            examples or other objects with these attributes, such as named tuples. A `Notice` says
            if all tuples and lists look as if they were (context, question).

    Raises:
        UserError: Something else was passed; names its place and its type.
    """
    is_table = hasattr(pairs, "columns")  # pandas iterates over the names of columns
    require(
        isinstance(pairs, Iterable)
        and not (isinstance(pairs, str | bytes | Mapping | Example) or is_table),
        f"pass a list of {PAIR}, not {kind(pairs)}{_way_out(pairs)}",
    )
    pairs = list(pairs)
    examples = [_to_example(number, pair) for number, pair in enumerate(pairs)]
    ordered = [e for e, pair in zip(examples, pairs, strict=True) if _parts(pair) is None]
    if ordered and all(len(e.question) > len(e.context) for e in ordered):
        notice(
            f"{len(ordered)} of {len(examples)} pairs have a question longer than their context"
            f" ({first_few([e.id for e in ordered])}); a pair is (question, context)"
        )
    return examples


def make_example(question: Any, context: Any, place: str = "", name: str = "0") -> Example:
    """Return question and context as an example; UserError, beginning with `place`, if unfit."""
    question = make_question(question, place)
    if not isinstance(context, str):
        raise UserError(f"{place}the context must be a string, not {kind(context)}")
    check_text(context, f"{place}the context")
    return Example(id=name, question=question, context=context)


def make_question(question: Any, place: str = "") -> str:
    """Return a question without blanks at its ends; UserError, beginning with `place`, if unfit."""
    if not isinstance(question, str):
        raise UserError(f"{place}the question must be a string, not {kind(question)}")
    check_text(question.strip(), f"{place}the question")
    return question.strip()


def check_examples(examples: Iterable[Any]) -> list[Example]:
    """Return examples as a list; UserError, naming the place, if one of them is none."""
    require(
        isinstance(examples, Iterable) and not isinstance(examples, str | bytes | Mapping),
        f"pass a list of examples, as read_examples returns them, not {kind(examples)}",
    )
    examples = list[Any](examples)
    for number, example in enumerate(examples):
        if not isinstance(example, Example):
            raise UserError(
                f"example {number} is {kind(example)}, not an Example, as read_examples returns"
                " them; answer_many takes pairs"
            )
        make_example(example.question, example.context, f"example {number}: ")
    return examples


def check_top_k(top_k: Any, nfc: Any) -> None:
    """Raise UserError unless `top_k` is a whole number of at least 1, and `nfc` True or False."""
    require(is_whole(top_k), f"top_k must be a whole number, not {kind(top_k)}")
    require(top_k >= 1, f"top_k must be at least 1, not {top_k}")
    require(isinstance(nfc, bool), f"nfc must be True or False, not {kind(nfc)}")


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number, of Python or numpy; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _to_example(number: int, pair: Any) -> Example:
    """Return one item of `to_examples`."""
    place = f"pair {number}: "
    parts = _parts(pair)
    if parts is None:
        if not isinstance(pair, tuple | list):
            alone = "; put a lone pair into a list" * isinstance(pair, str)
            raise UserError(f"{place}expected {PAIR}, not {kind(pair)}{alone}")
        require(len(pair) == 2, f"{place}expected {PAIR}, not {kind(pair)} of {len(pair)} items")
        parts = dict(zip(NAMES, pair, strict=True))
    missing = [name for name in NAMES if name not in parts]
    found = ", ".join(shown(str(key)) for key in list(parts)[:8]) or "no keys"
    require(not missing, f"{place}has no {' and no '.join(missing)}, only {found}")
    return make_example(parts["question"], parts["context"], place, str(number))


def _parts(pair: Any) -> Mapping[str, Any] | None:
    """Return what a pair has by name; None if it has no names, so that the order counts."""
    if isinstance(pair, Mapping):
        return pair
    if all(hasattr(pair, name) for name in NAMES):
        return {name: getattr(pair, name) for name in NAMES}
    return None


def _way_out(pairs: Any) -> str:
    """Return what to do with something that holds a pair, or several, but is no list of them."""
    if isinstance(pairs, Example) or (
        isinstance(pairs, Mapping) and isinstance(pairs.get("question"), str)
    ):
        return "; put the one into a list"
    if hasattr(pairs, "columns"):
        return '; pass its rows, .to_dict("records")'
    return "; pass one for each question" * isinstance(pairs, Mapping)


def kind(value: Any) -> str:
    """Return in words what a value is, for a message: its type; None, True and False as such."""
    if value is None or isinstance(value, bool):
        return str(value)
    name = type(value).__name__
    if type(value).__module__ == "numpy":  # whose types are named as Python's
        name = f"numpy.{name}"
    article = "an" if name[0].lower() in "aeiou" else "a"
    return f"{article} {name}"
