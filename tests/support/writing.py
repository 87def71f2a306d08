"""Tiny generative readers, random windows for them, and their probabilities the slow way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from qa.data.batches.targets import TargetCollator
from qa.models.generative.reader import GenerativeReader
from qa.models.generative.reading import Reading
from qa.models.model_io import model_inputs
from qa.models.readers import WritingReader
from qa.models.span_reader import SpanReader
from support.tiny_models import VOCAB_SIZE, make_model

Window = dict[str, Any]
QUESTION = 3  # tokens before the context


def make_reader(kind: str = "bert", boundaries: bool = False) -> GenerativeReader:
    """A reader in evaluation mode, whose decoder has preferences."""
    torch.manual_seed(5)
    reader = GenerativeReader(SpanReader(make_model(kind), boundaries))
    with torch.no_grad():
        for name, parameter in reader.decoder.named_parameters():
            if name.startswith(("gates", "copy_query", "to_embedding")):
                parameter.mul_(4)
    return reader.eval()


def make_window(ids: Sequence[int], answer: tuple[int, int] | None = None) -> Window:
    """A window of `QUESTION` tokens and these of its context, one character each.

    `answer`: first and last token of the answer, counted in the context.
    """
    length = QUESTION + len(ids)
    starts = np.array([-1] * QUESTION + list(range(len(ids))), dtype=np.int32)
    first, last = (0, 0) if answer is None else (QUESTION + each for each in answer)
    return {
        "input_ids": np.array([5, 6, 7, *ids], dtype=np.int32),
        "offset_starts": starts,
        "offset_ends": np.where(starts < 0, -1, starts + 1).astype(np.int32),
        "start_position": first,
        "end_position": last,
        "start_trim": -100 if answer is None else 0,
        "end_trim": -100 if answer is None else 0,
        "has_answer": answer is not None,
        "length": length,
    }


def collate(reader: WritingReader, windows: Sequence[Window]) -> dict[str, Any]:
    """A batch of these windows, as the reader is given them in training."""
    form = reader.batch_form(torch.device("cpu"), 64, trains=True)
    return TargetCollator(64, *form)(windows)


def read(reader: GenerativeReader, windows: Sequence[Window]) -> Reading:
    """These windows, read."""
    return reader.read(**model_inputs(collate(reader, windows)))


def log_prob(reader: GenerativeReader, window: Window, tokens: Sequence[int]) -> torch.Tensor:
    """(tokens + 1,) of each of these tokens and of the end, all at once and without any cache."""
    target_ids = torch.tensor([[*tokens, -1]])
    reading = read(reader, [window])
    return reader.log_probs(reading, target_ids, torch.arange(len(tokens) + 1))


def next_log_probs(reader: GenerativeReader, window: Window, tokens: Sequence[int]) -> torch.Tensor:
    """(V + 1,) of every token, and of the end, behind these; each in a window of its own."""
    reading = read(reader, [window] * VOCAB_SIZE)
    target_ids = torch.tensor([[*tokens, token] for token in range(VOCAB_SIZE)])
    rows = torch.arange(VOCAB_SIZE) * target_ids.shape[1] + len(tokens)
    found = reader.log_probs(reading, target_ids, rows)
    return torch.cat((found, log_prob(reader, window, tokens)[-1:]))


def scores(
    reader: GenerativeReader, window: Window, answers: Sequence[Sequence[int]]
) -> list[float]:
    """Of each answer, minus that of the empty one; each in a window of its own."""
    answers = [(), *answers]
    width = 1 + max(map(len, answers))
    targets = [[*tokens, -1, *[-100] * (width - len(tokens) - 1)] for tokens in answers]
    reading = read(reader, [window] * len(answers))
    rows = torch.arange(len(answers) * width)
    found = reader.log_probs(reading, torch.tensor(targets), rows).view(-1, width)
    sums = [float(row[: len(a) + 1].sum()) for row, a in zip(found, answers, strict=True)]
    return [each - sums[0] for each in sums[1:]]
