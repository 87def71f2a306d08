"""Holding out whole articles, so that no context is on both sides."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import ceil

from qa.data.examples import Example
from qa.engine.errors import require


def split_holdout(examples: list[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Return (training, held-out) examples; the held-out articles are spread evenly over all.

    Of n articles ceil(n * fraction) are held out, the first one among them: 0.2 holds out every
    5th, 0.4 the 1st, 3rd, 6th, 8th, 11th. Raises UserError unless `fraction` is above 0 and at most
    0.5. Articles are told apart by title, or by context where an example has no title; a context
    that appears under two titles belongs to the first of them. The split is deterministic, so that
    two runs can be compared.
    """
    require(0 < fraction <= 0.5, f"holdout must be above 0 and at most 0.5, not {fraction}")
    share = Fraction(str(fraction))  # as it was written: the float 0.1 is a little more than 1/10
    number_of_article: dict[str, int] = {}
    number_of_context: dict[str, int] = {}
    training: list[Example] = []
    held_out: list[Example] = []
    for example in examples:
        if example.context not in number_of_context:
            article = example.title or example.context
            number_of_context[example.context] = number_of_article.setdefault(
                article, len(number_of_article)
            )
        number = number_of_context[example.context]
        (held_out if is_held_out(number, share) else training).append(example)
    return training, held_out


def is_held_out(number: int, share: Fraction) -> bool:
    """Return whether article `number`, from 0, must be held out to reach ceil(n * share)."""
    return ceil((number + 1) * share) > ceil(number * share)


def every_other_context(examples: Iterable[Example]) -> list[bool]:
    """Return whether each is in the first of two halves that share no context."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(example.context, len(numbers)) % 2 == 0 for example in examples]
