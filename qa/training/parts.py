"""The parts of a run's data cut into windows: what it trains on, and what is held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qa.config import GENERATIVE, Config
from qa.data.examples import Example
from qa.data.windows.cache import cached_windows, iterate_columns, windows_fingerprint
from qa.data.windows.coverage import Coverage
from qa.engine.distributed import World
from qa.outputs.card_facts import DataFacts
from qa.training.data_facts import data_facts
from qa.training.text_answers import texts_fingerprint

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast

TRAINING, HELD_OUT = "training data", "held-out data"


@dataclass(frozen=True)
class Part:
    """One part of the data."""

    windows: Dataset
    fingerprint: str  # of all that decides what is learned or judged by the windows
    facts: DataFacts
    lines: list[str]  # for people: questions and windows, and one for each thing that is missed


def cut_parts(
    config: Config,
    tokenizer: PreTrainedTokenizerFast,
    data: Mapping[str, list[Example]],
    world: World,
) -> dict[str, Part]:
    """Cut the data into windows, which are cached on disk.

    Args:
        config: What the data is called, and how it is cut and read.
        tokenizer: The model's.
        data: The examples of `TRAINING` and `HELD_OUT`.
        world: The processes that train the model together.

    Returns:
        The parts that have examples, under the same names.
    """
    present = {name: examples for name, examples in data.items() if examples}
    prints = {
        name: windows_fingerprint(examples, tokenizer, config.windows)
        for name, examples in present.items()
    }
    with world.main_first():  # the main process fills the cache, from which the others read
        windows = {
            name: cached_windows(examples, tokenizer, config.windows, fingerprint=prints[name])
            for name, examples in present.items()
        }
    return {
        name: describe_part(config, tokenizer, name, examples, windows[name], prints[name])
        for name, examples in present.items()
    }


def describe_part(
    config: Config,
    tokenizer: PreTrainedTokenizerFast,
    name: str,
    examples: list[Example],
    windows: Dataset,
    fingerprint: str,
) -> Part:
    """Return a part with what there is to say of it.

    Args:
        config: See `cut_parts`.
        tokenizer: The model's.
        name: `TRAINING` or `HELD_OUT`.
        examples: Its examples.
        windows: Their windows.
        fingerprint: Of texts, tokenizer and window options.
    """
    coverage = Coverage(tokenizer, config.windows, config.decoding.max_answer_length)
    for columns in iterate_columns(windows):
        coverage.add(examples, columns)
    if config.model.reader == GENERATIVE:  # others do not learn from texts
        fingerprint += texts_fingerprint(examples)
    title = name.removesuffix(" data").replace("-", " ")
    ratio = config.data.negative_window_ratio if name == TRAINING else 1.0
    own = None if name == TRAINING else config.data.eval_data
    source = str(own or config.data.train_data)  # of which a share may be held out
    return Part(
        windows,
        # Older checkpoints were trained on the front of long questions.
        fingerprint + ", long questions by their end" * bool(coverage.cut),
        data_facts(source, examples, len(windows), fingerprint, coverage),
        [
            count_line(title, len(examples), windows, ratio),
            *(f"{title}: {missed}" for missed in coverage.lines()),
        ],
    )


def count_line(title: str, num_questions: int, windows: Dataset, negative_ratio: float) -> str:
    """Return how much data there is, as a line for people.

    Args:
        title: What the line calls the data.
        num_questions: Of the data.
        windows: All windows of the questions.
        negative_ratio: Share of the windows without the answer that an epoch trains on.
    """
    negatives = int((~np.asarray(windows["has_answer"][:])).sum())
    line = (
        f"{title}: {num_questions:,} questions, {len(windows):,} windows,"
        f" {len(windows) - negatives:,} of them with the answer"
    )
    if negative_ratio < 1:
        line += f"; each epoch trains on {round(negatives * negative_ratio):,} of the others"
    return line
