"""What a decoder is to write, by place or by text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.writing import make_window

from qa.data.batches.targets import (
    BEHIND_ID,
    END_ID,
    TEXT_TARGETS,
    Covered,
    TargetCollator,
    text_targets,
)
from qa.data.examples import Example
from qa.models.generative import teacher_forcing

PLACED = Example("a", "?", "강나루", ("나루",), (1,), reference_answers=("고향", "나루"))
WRITTEN = Example("b", "?", "강나루", reference_answers=("고향", "나루터"))
UNANSWERED = Example("c", "?", "강나루")


def to_ids(text: str) -> list[int]:
    return [ord(character) - ord("가") for character in text]


def window(number: int, start: int, end: int, has_answer: bool = False) -> dict[str, Any]:
    """Of the example with this number; the characters from `start` to `end`, and a question."""
    starts = np.array([-1, *range(start, end)], dtype=np.int32)
    return {
        "example_index": number,
        "has_answer": has_answer,
        "offset_starts": starts,
        "offset_ends": np.where(starts < 0, -1, starts + 1),
    }


def found(examples: list[Example], *windows: dict[str, Any], longest: int = 9) -> dict[int, Any]:
    targets = text_targets(Covered.of(windows), examples, to_ids, longest)
    return {row: ids.tolist() for row, ids in targets.items()}


def test_a_text_is_the_target_of_a_question_with_one_window() -> None:
    examples = [WRITTEN, UNANSWERED, WRITTEN]
    windows = [window(0, 0, 3), window(1, 0, 3), window(2, 0, 2), window(2, 1, 3)]
    text, nothing = [*to_ids("고향"), END_ID], [BEHIND_ID]
    assert found(examples, *windows) == {0: text, 2: nothing, 3: nothing}
    assert found(examples, *windows, longest=2) == {0: text, 2: nothing, 3: nothing}
    assert found(examples, *windows, longest=1) == {0: nothing, 2: nothing, 3: nothing}
    assert found(examples) == {}


def test_no_window_that_holds_the_answers_text_is_to_end_at_once() -> None:
    context = "강나루와 나루와 강"
    example = Example("a", "?", context, ("나루",), (1,))
    windows = [window(0, 0, 4, True), window(0, 3, 6), window(0, 5, 8), window(0, 5, 10)]
    pieces = ["강나루와", "와 나", "나루와", "나루와 강"]
    assert [context[w["offset_starts"][1] : w["offset_ends"][-1]] for w in windows] == pieces
    assert found([example], *windows) == {2: [BEHIND_ID], 3: [BEHIND_ID]}
    assert found([PLACED], window(0, 0, 3, True)) == {}
    assert found([PLACED], window(0, 0, 3)) == {}


@pytest.mark.parametrize("empty", [{}, {TEXT_TARGETS: np.zeros(0, dtype=np.int64)}])
def test_windows_of_all_kinds_in_one_batch(empty: dict[str, np.ndarray]) -> None:
    """By place, by text, without the answer, and one of which nothing is known."""
    windows = [
        {**make_window([8, 9, 8, 10, 9], (1, 3)), **empty},
        {**make_window([11, 9]), TEXT_TARGETS: np.array([20, 21, 22, 23, END_ID])},
        {**make_window([12]), **empty},
        {**make_window([8, 12, 8]), TEXT_TARGETS: np.array([BEHIND_ID])},
    ]
    batch = TargetCollator(64)(windows)
    x = BEHIND_ID
    assert teacher_forcing.END_ID == END_ID  # models may not import data
    assert batch["target_ids"].tolist() == [
        [9, 8, 10, END_ID, x],
        [20, 21, 22, 23, END_ID],
        [END_ID, x, x, x, x],
        [x, x, x, x, x],
    ]
    assert batch["target_rows"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert (batch["num_items"], batch["num_windows"]) == (10, 4)
