"""When a form of a reader may take its place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.export.gate import Found, Row, compare

flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def found(right: list[bool]) -> Found:
    """Answers of which some are right; a wrong one is wrong in every form alike."""
    texts = ["right" if each else "wrong" for each in right]
    values = np.array([[each, each / 2] for each in right], dtype=np.float64)
    return Found(texts, values, 1.5)


def row(lost: int, won: int, same_texts: float = 100.0, p_value: float = 1.0) -> Row:
    return Row("x", 70.0, 80.0, same_texts, lost, won, p_value, 1.0, 1.0)


@given(flags)
def test_a_comparison_counts_question_by_question(pairs: list[tuple[bool, bool]]) -> None:
    before, after = ([pair[i] for pair in pairs] for i in (0, 1))
    made = compare("form", found(before), found(after), 2_500_000)
    assert made.exact_match == pytest.approx(100 * sum(after) / len(pairs))
    assert made.f1 == pytest.approx(50 * sum(after) / len(pairs))
    assert made.lost == sum(a and not b for a, b in pairs)
    assert made.won == sum(b and not a for a, b in pairs)
    assert made.same_texts == pytest.approx(100 * sum(a == b for a, b in pairs) / len(pairs))
    assert (made.form, made.ms_per_window, made.megabytes) == ("form", 1.5, 2.5)


@pytest.mark.parametrize(("lost", "won"), [(12, 3), (1, 1), (0, 0), (8, 3), (5, 0)])
def test_the_p_value_is_that_of_the_exact_mcnemar_test(lost: int, won: int) -> None:
    before = [True] * lost + [False] * won + [True] * 20
    after = [False] * lost + [True] * won + [True] * 20
    flips, far = lost + won, max(lost, won)
    tail = sum(math.comb(flips, k) for k in range(far, flips + 1)) / 2**flips
    expected = min(1.0, 2 * tail)
    assert compare("x", found(before), found(after), 1).p_value == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    ("made", "questions", "passes"),
    [
        (row(0, 0), 100, True),
        (row(1, 0), 100, True),  # one question, though it is a whole point
        (row(2, 0), 100, False),
        (row(3, 2), 1000, True),  # 0.1 points
        (row(0, 2), 1000, False),  # better is different, too
        (row(0, 0, same_texts=98.9), 1000, False),
    ],
)
def test_fp32_must_be_the_same(made: Row, questions: int, passes: bool) -> None:
    assert made.is_same(questions) is passes


@pytest.mark.parametrize(
    ("made", "questions", "passes"),
    [
        (row(14, 12, 95.5, 0.85), 852, True),  # many flips that cancel
        (row(45, 25, 86.5, 0.022), 852, False),
        (row(5, 0, 99.0, 0.06), 1000, True),
        (row(6, 0, 99.0, 0.06), 1000, False),
        (row(8, 0, 99.9, 0.008), 10_000, False),  # small but certain
        (row(0, 9, 99.0, 0.004), 1000, True),  # certainly better
        (row(1, 0), 100, False),
    ],
)
def test_a_smaller_form_may_lose_little_and_not_for_certain(
    made: Row, questions: int, passes: bool
) -> None:
    assert made.is_as_good(questions) is passes
