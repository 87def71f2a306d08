"""Answers that were written freely: those of the context, those outside of it.

B: windows of a batch, L: tokens of the longest answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from qa.answering.nbest import CharacterScores, add_spans
from qa.models.generative.free import FreeAnswers


class FreeAnswer(NamedTuple):
    """What was written about one window."""

    score: float
    token_ids: list[int]
    is_run: bool  # whether these tokens stand one after the other in the window


@dataclass(frozen=True)
class Outside:
    """What becomes of answers that are no run of the window's tokens.

    Args:
        to_text: Turns token ids into text.
        counts: They may be given as answers; otherwise they are only counted.
    """

    to_text: Callable[[list[int]], str]
    counts: bool


def send_free(answers: FreeAnswers) -> torch.Tensor:
    """Return (B, 2 + L) on the host: scores, first tokens and ids, all exact in fp32."""
    scores = answers.scores.nan_to_num(nan=float("-inf"))  # of a model that diverged
    columns = torch.stack((scores, answers.starts.to(scores.dtype)), 1)
    return torch.cat((columns, answers.token_ids.to(columns.dtype)), 1).cpu()


def read_free(sent: torch.Tensor) -> list[FreeAnswer]:
    """Return the answers that were sent."""
    return [
        FreeAnswer(row[0], [int(number) for number in row[2:] if number >= 0], row[1] >= 0)
        for row in sent.tolist()
    ]


def judge_free(
    answers: Sequence[FreeAnswer], context: str, merged: CharacterScores, outside: Outside
) -> tuple[dict[str, float], bool]:
    """Return the texts outside the context with their scores, and whether the best answer is one.

    Args:
        answers: Of each window of one example, which may have none.
        context: The example's.
        merged: Gets the places of those that stand in the context after all, as other tokens.
        outside: What becomes of them.
    """
    texts: dict[str, float] = {}
    best = max(answers, default=None)
    is_outside = False
    for answer in answers:
        if answer.is_run:
            continue
        text = outside.to_text(answer.token_ids).strip()
        start = context.find(text) if text else -1
        if start < 0:
            is_outside = is_outside or answer is best
            if text and outside.counts and answer.score > -math.inf:
                texts[text] = max(answer.score, texts.get(text, answer.score))
        elif outside.counts:
            add_spans(merged, [answer.score], [start], [start + len(text)])
    return texts, is_outside
