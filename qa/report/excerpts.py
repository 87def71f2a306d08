"""How much of the contexts a report holds, so that it can still be opened and mailed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qa.report.kinds import Span

FREE_BYTES = 1_000_000  # of contexts that a report holds whole in any case
BYTES_PER_QUESTION = 500  # above that, the share that one question has
MARGIN = 40  # characters kept on both sides of what is marked

Piece = tuple[int, str]
"""Where a piece of a context begins in it, in characters, and its text."""


def excerpts(contexts: dict[str, list[Span]], num_questions: int) -> list[list[Piece]]:
    """Return the pieces of each context that are kept, in the order of the text.

    Args:
        contexts: Each context and the spans in it that a report marks.
        num_questions: On all of the contexts.
    """
    sizes = {context: len(context.encode()) for context in contexts}
    allowed = BYTES_PER_QUESTION * num_questions
    if sum(sizes.values()) <= max(FREE_BYTES, allowed):
        return [[(0, context)] for context in contexts]
    return [pieces_around(context, spans) for context, spans in contexts.items()]


def pieces_around(context: str, spans: Iterable[Span], margin: int = MARGIN) -> list[Piece]:
    """Return the text around spans; pieces that touch are one.

    Without spans it is the beginning of the context.
    """
    wide = [(max(0, a - margin), min(len(context), b + margin)) for a, b in spans]
    return [(a, context[a:b]) for a, b in joined(wide or [(0, min(len(context), 2 * margin))])]


def joined(spans: Sequence[Span]) -> list[Span]:
    """Return spans in order, those that touch or overlap as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
