"""Whether a form of a reader still answers as well as the reader. Q: questions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qa.answering.answerer import Answerer
from qa.answering.blocks import Window, make_blocks
from qa.answering.nbest import is_left, null_odds
from qa.data.examples import Example
from qa.metrics import Score
from qa.metrics.resample import sign_flip_p_value

FP32_DIFFERENCE = 0.15  # points of exact match, or one question
FP32_SAME_TEXTS = 99.0  # per cent
INT8_LOSS = 0.5  # points of exact match
INT8_P_VALUE = 0.05


@dataclass(frozen=True)
class Found:
    """What one form of a reader answered."""

    texts: list[str]  # (Q,) "" where it left a question unanswered
    values: np.ndarray  # (Q, 2) float64 exact match and overlap, 0 to 1
    ms_per_window: float  # wall time of the model and of decoding


@dataclass(frozen=True)
class Row:
    """A form compared with the reader that it was made of."""

    form: str
    exact_match: float  # in %
    f1: float  # in %
    same_texts: float  # in %
    lost: int  # questions that only the reader answers exactly
    won: int  # questions that only the form answers exactly
    p_value: float  # of the difference in exact match
    ms_per_window: float
    megabytes: float  # 10**6 bytes of weights or of the file

    def is_same(self, questions: int) -> bool:
        """Return whether an fp32 form answers as the reader does."""
        difference = 100 * abs(self.won - self.lost) / questions
        is_equal = difference <= FP32_DIFFERENCE or self.lost + self.won <= 1
        return is_equal and self.same_texts >= FP32_SAME_TEXTS

    def is_as_good(self, questions: int) -> bool:
        """Return whether a smaller form loses too little to count, and not significantly."""
        loss = 100 * (self.lost - self.won) / questions
        return loss <= INT8_LOSS and (loss <= 0 or self.p_value > INT8_P_VALUE)


def find_answers(
    answerer: Answerer,
    examples: Sequence[Example],
    windows: Sequence[Window],
    threshold: float | None,
    metric: str,
) -> Found:
    """Answer all questions with one form of a reader.

    Args:
        answerer: Runs it.
        examples: The questions, with gold answers.
        windows: All their windows, in order.
        threshold: Null odds above which a question is left unanswered; None: never.
        metric: The official score that counts.
    """
    answerer.model.eval()
    score, texts = Score(metric), list[str]()
    started = time.perf_counter()
    for found in answerer.answer_blocks(examples, make_blocks(iter(windows))):
        for answers in found.answers:
            is_given = answers and not is_left(null_odds(answers), threshold)
            texts.append(answers[0].text if is_given else "")
    seconds = time.perf_counter() - started
    for text, example in zip(texts, examples, strict=True):
        score.add(text, example.gold_answers)
    return Found(texts, score.values, 1000 * seconds / len(windows))


def compare(form: str, reference: Found, found: Found, num_bytes: int) -> Row:
    """Compare what a form found with what the reader found.

    Args:
        form: Its name.
        reference: What the reader found.
        found: What the form found on the same questions.
        num_bytes: Size of the form.
    """
    differences = found.values[:, 0] - reference.values[:, 0]
    exact_match, f1 = 100 * found.values.mean(0)
    same = np.mean([a == b for a, b in zip(reference.texts, found.texts, strict=True)])
    return Row(
        form,
        float(exact_match),
        float(f1),
        100 * float(same),
        int((differences < 0).sum()),
        int((differences > 0).sum()),
        sign_flip_p_value(differences),
        found.ms_per_window,
        num_bytes / 1e6,
    )
