"""The example: one question, its context and its gold answers."""

from __future__ import annotations

from dataclasses import dataclass

from qa.engine.errors import UserError, require


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one context.

    Args:
        id: Unique in a data set.
        question: Without blanks at its ends.
        context: As the data has it, so that offsets count its characters.
        answers: Gold answers; empty for a question that has no answer or no label.
        answer_starts: `answers[i]` begins at character `answer_starts[i]` of the context.
        title: Names the article that the context is from; may be empty.
        reference_answers: The texts that scores compare with, if the data lists them apart from
            the answers to learn from, as MRQA does; empty otherwise.
    """

    id: str
    question: str
    context: str
    answers: tuple[str, ...] = ()
    answer_starts: tuple[int, ...] = ()
    title: str = ""
    reference_answers: tuple[str, ...] = ()

    @property
    def gold_answers(self) -> tuple[str, ...]:
        """The texts that scores compare with."""
        return self.reference_answers or self.answers


def check_text(text: str, what: str) -> None:
    """Raise UserError, naming `what`, if `text` is blank or is not valid text."""
    require(text.strip(), f"{what} is empty")
    check_characters(text, what)


def check_characters(text: str, what: str) -> None:
    """Raise UserError if `text` has half a surrogate pair, which tokenizers and files refuse."""
    try:
        text.encode()  # much faster than looking at each character of a long document
    except UnicodeEncodeError as error:
        raise UserError(
            f"{what} holds half a surrogate pair, so it is no text; it was cut or decoded wrongly"
        ) from error
