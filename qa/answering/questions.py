"""What people pass to a `Reader`, checked: questions with their contexts, and settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, TypeAlias

from qa.data.examples import Example, check_text
from qa.engine.errors import UserError, require, shown

Pair: TypeAlias = tuple[str, str] | Mapping[str, Any] | Example
PAIR = '(question, context) or {"question": ..., "context": ...}'


def to_examples(pairs: Iterable[Pair]) -> list[Example]:
    """Return the pairs as examples whose ids count from 0.

    Args:
        pairs: Tuples or lists (question, context), mappings with `question` and `context`, or
            examples.

    Raises:
        UserError: Something else was passed; names its place and its type.
    """
    require(
        isinstance(pairs, Iterable) and not isinstance(pairs, str | bytes | Mapping | Example),
        f"pass a list of {PAIR}, not {kind(pairs)}"
        + "; put the one into a list" * isinstance(pairs, Mapping | Example),
    )
    return [_to_example(number, pair) for number, pair in enumerate(pairs)]


def make_example(question: Any, context: Any, place: str = "", name: str = "0") -> Example:
    """Return question and context as an example; UserError, beginning with `place`, if unfit."""
    for what, text in (("question", question), ("context", context)):
        if not isinstance(text, str):
            raise UserError(f"{place}the {what} must be a string, not {kind(text)}")
    check_text(question.strip(), f"{place}the question")
    check_text(context, f"{place}the context")
    return Example(id=name, question=question.strip(), context=context)


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
    is_whole = isinstance(top_k, Integral) and not isinstance(top_k, bool)
    require(is_whole, f"top_k must be a whole number, not {kind(top_k)}")
    require(top_k >= 1, f"top_k must be at least 1, not {top_k}")
    require(isinstance(nfc, bool), f"nfc must be True or False, not {kind(nfc)}")


def _to_example(number: int, pair: Any) -> Example:
    """Return one item of `to_examples`."""
    place = f"pair {number}: "
    if isinstance(pair, Example):
        pair = (pair.question, pair.context)
    if isinstance(pair, Mapping):
        missing = [name for name in ("question", "context") if name not in pair]
        found = ", ".join(shown(str(key)) for key in list(pair)[:8]) or "no keys"
        require(not missing, f"{place}has no {' and no '.join(missing)}, only {found}")
        pair = (pair["question"], pair["context"])
    if not isinstance(pair, tuple | list):
        alone = "; put a lone pair into a list" * isinstance(pair, str)
        raise UserError(f"{place}expected {PAIR}, not {kind(pair)}{alone}")
    require(len(pair) == 2, f"{place}expected {PAIR}, not {kind(pair)} of {len(pair)} items")
    question, context = pair
    return make_example(question, context, place, str(number))


def kind(value: Any) -> str:
    """Return in words what a value is, for a message: its type, and a short value itself."""
    if value is None or isinstance(value, bool):
        return str(value)
    name = type(value).__name__
    article = "an" if name[0].lower() in "aeiou" else "a"
    return f"{article} {name}"
