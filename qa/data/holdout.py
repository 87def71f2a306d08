"""Holding out whole articles, so that no context is on both sides."""

from __future__ import annotations

from qa.data.examples import Example
from qa.engine.errors import require


def split_holdout(examples: list[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """(training, held-out) examples: every k-th article is held out, starting with the first.

    k is 1 / fraction, rounded: 0.2 holds out every 5th. Articles are told apart by title, or by
    context where an example has no title; a context that stands under two titles stays with the
    first. Deterministic, so that two runs compare.
    """
    require(0 < fraction <= 0.5, f"holdout must be above 0 and at most 0.5, not {fraction}")
    every = round(1 / fraction)
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
        (held_out if number % every == 0 else training).append(example)
    return training, held_out
