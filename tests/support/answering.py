"""Answering in tests: all questions as one block."""

from __future__ import annotations

from collections.abc import Sequence

from qa.answering.answerer import Answerer
from qa.answering.blocks import Window
from qa.answering.in_flight import BlockAnswers
from qa.data.examples import Example


def answer_block(
    answerer: Answerer,
    examples: Sequence[Example],
    windows: Sequence[Window],
    computes_loss: bool = False,
) -> BlockAnswers:
    """The answers of the examples that these windows are of."""
    (found,) = answerer.answer_blocks(examples, [windows], computes_loss=computes_loss)
    return found
