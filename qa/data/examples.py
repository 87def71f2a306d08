"""The example: one question, its context and its gold answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one context.

    `answers[i]` stands in `context` at character `answer_starts[i]`; both are empty for a
    question that has no answer or no label. `title` names the article the context is from.
    """

    id: str
    question: str
    context: str
    answers: tuple[str, ...] = ()
    answer_starts: tuple[int, ...] = ()
    title: str = ""
