"""What a decoder is to write about the windows of a batch: the answer's tokens, then an end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch

from qa.data.batches.collate import Collator
from qa.data.examples import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_ID, BEHIND_ID = -1, -100
TEXT_TARGETS = "text_targets"  # of a window: its row of targets, where its label is not all
LAST = np.iinfo(np.int32).max

ToIds: TypeAlias = Callable[[str], list[int]]
"""A text -> its tokens, without special ones"""


class TargetCollator(Collator):
    """Adds targets to a batch.

    A window without the answer is to end at once. With B windows and L, the tokens of the longest
    answer and its end, a batch has besides those of `Collator`, the tensors int64:

        target_ids: (B, L) tokens of the answers, then `END_ID`, then `BEHIND_ID`.
        target_rows: (num_items,) indices of tokens and ends in that matrix, flattened.
        num_items: Tokens of all answers and their ends.
        num_windows: B.
    """

    def __call__(self, windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return one batch of these windows."""
        answers = [window_targets(window) for window in windows]
        targets = np.full((len(windows), max(map(len, answers))), BEHIND_ID, dtype=np.int64)
        for row, tokens in zip(targets, answers, strict=True):
            row[: len(tokens)] = tokens
        rows = np.flatnonzero(targets != BEHIND_ID)
        return {
            **super().__call__(windows),
            "target_ids": torch.from_numpy(targets),
            "target_rows": torch.from_numpy(rows),
            "num_items": len(rows),
            "num_windows": len(windows),
        }


def window_targets(window: Mapping[str, Any]) -> np.ndarray:
    """Return what is to be written about a window: tokens and an end."""
    by_text: np.ndarray | None = window.get(TEXT_TARGETS)
    if by_text is not None and len(by_text):
        return by_text
    if not window["has_answer"]:
        return np.array([END_ID])
    tokens = window["input_ids"][window["start_position"] : window["end_position"] + 1]
    return np.append(tokens, END_ID)


def ids_of_text(tokenizer: PreTrainedTokenizerFast) -> ToIds:
    """Return what turns an answer into tokens."""
    return lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]


class Covered(NamedTuple):
    """What is known of W windows, those of a question together."""

    example_index: np.ndarray  # (W,)
    has_answer: np.ndarray  # (W,) bool, whether a place in it is labelled
    starts: np.ndarray  # (W,) first character of the context that it covers
    ends: np.ndarray  # (W,) the character behind the last

    @classmethod
    def of(cls, windows: Sequence[Mapping[str, Any]]) -> Covered:
        """Return it of windows one by one."""
        rows = [
            (
                int(window["example_index"]),
                bool(window["has_answer"]),
                int(window["offset_starts"][window["offset_starts"] >= 0].min(initial=LAST)),
                int(window["offset_ends"].max()),
            )
            for window in windows
        ]
        return cls(*np.array(rows, dtype=np.int64).reshape(-1, 4).T)


def text_targets(
    windows: Covered, examples: Sequence[Example], to_ids: ToIds, max_answer_length: int
) -> dict[int, np.ndarray]:
    """Return the targets of windows for which the labelled place is not all that is known.

    They are `BEHIND_ID` alone, nothing, for a window without the labelled place in which the text
    of the answer stands, too: no decoder can be taught to write it and to end at once.

    An answer that has no place is taught by its text where the question has one window. With
    several, nothing says which of them holds what the answer was made of, and to teach it in all
    would teach to make answers up: they have no target. Nor has an answer that is too long to be
    written.

    Args:
        windows: All of a question or none.
        examples: The questions.
        to_ids: Of the model's tokenizer.
        max_answer_length: Tokens of the longest answer that is written.

    Returns:
        Index of the window -> its targets, for such windows only.
    """
    found = np.unique(windows.example_index, return_index=True, return_counts=True)
    targets: dict[int, np.ndarray] = {}
    for number, first, count in zip(*found, strict=True):
        example, rows = examples[number], range(first, first + count)
        if example.answers and count > 1:
            text = example.answers[0].strip()
            for row in rows:
                piece = example.context[windows.starts[row] : windows.ends[row]]
                if not windows.has_answer[row] and text in piece:
                    targets[row] = np.array([BEHIND_ID])
        elif not example.answers and example.gold_answers:
            ids = to_ids(example.gold_answers[0].strip())
            is_taught = count == 1 and len(ids) <= max_answer_length
            for row in rows:
                targets[row] = np.array([*ids, END_ID] if is_taught else [BEHIND_ID])
    return targets
