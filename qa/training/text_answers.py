"""Training on answers that are known by their text, as a generative reader can."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qa.data.batches.targets import (
    BEHIND_ID,
    LAST,
    TEXT_TARGETS,
    Covered,
    ids_of_text,
    text_targets,
)
from qa.data.examples import Example
from qa.data.windows.cache import iterate_columns
from qa.engine.errors import first_few, require
from qa.models.loss import IGNORE_POSITION

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast


def with_text_targets(
    windows: Dataset,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    max_answer_length: int,
    report: Callable[[str], None],
) -> Dataset:
    """Return the windows to train on: with the targets of `text_targets`, without those of none.

    Args:
        windows: Of all examples, as `cached_windows` returns them.
        examples: The questions.
        tokenizer: The model's.
        max_answer_length: Tokens of the longest answer that is written.
        report: Gets lines for people.

    Raises:
        UserError: No window can be taught.
    """
    covered = covered_by(windows)
    targets = text_targets(covered, examples, ids_of_text(tokenizer), max_answer_length)
    if not targets:
        return windows
    for line in describe_targets(targets, covered, examples, tokenizer.unk_token_id):
        report(f"training data: {line}")
    kept = [
        row for row in range(len(windows)) if row not in targets or targets[row][0] != BEHIND_ID
    ]
    require(
        kept,
        "training data: nothing can be taught: every answer stands nowhere, and is longer than"
        " max_answer_length or has a context of several windows; raise max_answer_length or"
        " max_seq_length",
    )
    chosen = windows.select(kept)
    columns = {TEXT_TARGETS: [targets[row].tolist() if row in targets else [] for row in kept]}
    # The span head learns nothing of them.
    positions = dict.fromkeys(("start_position", "end_position"), IGNORE_POSITION)
    for name, value in {"has_answer": True, **positions}.items():
        before = np.asarray(chosen[name][:]).tolist()
        columns[name] = [
            value if row in targets else old for row, old in zip(kept, before, strict=True)
        ]
        chosen = chosen.remove_columns(name)
    for name, values in columns.items():
        chosen = chosen.add_column(name, values)
    return chosen.with_format("numpy")


def covered_by(windows: Dataset) -> Covered:
    """Return what windows of `cached_windows` cover."""
    parts = []
    for columns in iterate_columns(windows):
        starts, ends = columns.tokens["offset_starts"], columns.tokens["offset_ends"]
        bounds = columns.bounds[:-1] - columns.bounds[0]
        parts.append(
            Covered(
                columns.values["example_index"],
                columns.values["has_answer"],
                np.minimum.reduceat(np.where(starts < 0, LAST, starts), bounds),
                np.maximum.reduceat(ends, bounds),
            )
        )
    return Covered(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def describe_targets(
    targets: dict[int, np.ndarray],
    covered: Covered,
    examples: Sequence[Example],
    unknown_id: int | None,
) -> list[str]:
    """Return a line for each thing that was decided: how many, and the first ids.

    Args:
        targets: Of `text_targets`.
        covered: The windows.
        examples: The questions.
        unknown_id: Stands for what the vocabulary does not know; None if it knows all.
    """
    several, too_long, unknown, elsewhere, taught = [], [], [], [], 0
    for row, ids in targets.items():
        number = int(covered.example_index[row])
        example = examples[number]
        if ids[0] != BEHIND_ID:
            taught += 1
            unknown += [example.id] if unknown_id in ids else []
        elif example.answers:
            elsewhere.append(example.id)
        elif np.count_nonzero(covered.example_index == number) > 1:
            several.append(example.id)
        else:
            too_long.append(example.id)
    several = list(dict.fromkeys(several))
    counted = (
        (
            unknown,
            "answers have characters that the vocabulary does not know, so that they cannot be"
            " written",
        ),
        (
            too_long,
            "questions are left out, whose answer stands nowhere and is longer than"
            " max_answer_length",
        ),
        (
            several,
            "questions are left out, whose answer stands nowhere and whose context has several"
            " windows; a larger max_seq_length has fewer",
        ),
        (
            elsewhere,
            "windows are left out, which hold the text of the answer, but not the place that is"
            " labelled",
        ),
    )
    lines = [f"{taught:,} answers that stand nowhere are taught by their text"] if taught else []
    return lines + [f"{len(ids):,} {what} ({first_few(ids)})" for ids, what in counted if ids]


def texts_fingerprint(examples: Sequence[Example]) -> str:
    """Return what to add to the fingerprint of windows, which know of placed answers only."""
    texts = [(e.id, e.gold_answers[0]) for e in examples if e.gold_answers and not e.answers]
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
    return f", answers by text {digest}" if texts else ""
