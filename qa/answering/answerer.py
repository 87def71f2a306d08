"""Answers blocks of examples with a model on a device: batches in, n-best answers out.

B: windows of a batch, T: tokens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from qa.answering.nbest import Answer, CharacterScores, add_spans, rank_answers
from qa.answering.options import DecodeOptions
from qa.data.batches.collate import Collator, pack_offsets
from qa.data.batches.evaluation_batches import (
    BATCH_SIZE,
    CPU_BATCH_TOKENS,
    filled_batches,
    padded_batches,
)
from qa.data.examples import Example
from qa.data.windows.cut import NO_ANSWER_POSITION
from qa.engine.batch import move_to_device
from qa.engine.errors import require
from qa.engine.precision import Precision
from qa.models.loss import window_loss
from qa.models.model_io import SpanScores, model_inputs
from qa.models.packing.segments import round_coarsely, to_rows
from qa.models.span_decode import Offsets, Spans, best_spans
from qa.models.span_reader import SpanReader

WINDOWS_PER_BLOCK = 256  # within which batches are made; a last one need not be full

Window: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class BlockAnswers:
    """What was found for the examples of a block."""

    answers: list[list[Answer]]  # each example's, best first; [] if no span can be an answer
    loss_sum: float  # the windows' summed loss, 0 if it was not asked for
    num_windows: int
    decode_seconds: float  # time after the logits: decoding, merging, cutting text


class Answerer:
    """Runs a model over windows and decodes them.

    Args:
        model: On the device of `precision`, and in evaluation mode when it is called.
        collator: Makes batches for this model.
        options: How answers are chosen.
        precision: The number format of the products.
        batch_size: In windows of full length: a batch has capacity for the tokens of this many (on
            a CPU for 2,048 tokens at most), which shorter windows share.
    """

    def __init__(
        self,
        model: SpanReader,
        collator: Collator,
        options: DecodeOptions,
        precision: Precision,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        require(batch_size >= 1, f"batch_size must be at least 1, not {batch_size}")
        self.model = model
        self.collator = collator
        self.options = options
        self.precision = precision
        self.device = precision.device
        self.batch_size = batch_size

    def answer_block(
        self,
        examples: Sequence[Example],
        windows: Sequence[Window],
        first_index: int,
        n_best_size: int | None = None,
        computes_loss: bool = False,
    ) -> BlockAnswers:
        """Answer examples from their windows.

        Args:
            examples: The questions.
            windows: All windows of these examples, labelled if the loss is asked for.
            first_index: `example_index` of the first example in the windows.
            n_best_size: Candidates for each example; None for the number of the options.
            computes_loss: Also sum the windows' loss; reading the sum is a host sync.
        """
        n_best_size = n_best_size or self.options.n_best_size
        merged: list[CharacterScores] = [{} for _ in examples]
        loss_sum = torch.zeros((), device=self.device)
        decode_seconds = 0.0
        # Here, so that weights are cast once and not for every batch.
        with torch.no_grad(), self.precision.autocast():
            for indices in self._batches([int(window["length"]) for window in windows]):
                host_batch = [windows[index] for index in indices]
                packed = {**self.collator(host_batch), **pack_offsets(host_batch)}
                batch = move_to_device(packed, self.device)
                scores = self.model(**model_inputs(batch))
                if computes_loss:
                    loss_sum += window_loss(scores, batch)
                if self.device.type == "cuda":
                    # So that the model's time does not count as decoding, whose `tolist` would wait
                    # for the model anyway.
                    torch.cuda.synchronize(self.device)
                started = time.perf_counter()
                spans = self._decode(scores, batch, n_best_size)
                add_batch(merged, host_batch, spans, first_index)
                decode_seconds += time.perf_counter() - started
        started = time.perf_counter()
        answers = [
            rank_answers(example.context, spans_found, n_best_size, self.options.temperature or 1.0)
            for example, spans_found in zip(examples, merged, strict=True)
        ]
        decode_seconds += time.perf_counter() - started
        return BlockAnswers(answers, float(loss_sum), len(windows), decode_seconds)

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return the indices of the windows of each batch."""
        max_tokens = self.batch_size * self.collator.max_length
        if self.device.type == "cpu":
            max_tokens = min(max_tokens, CPU_BATCH_TOKENS)
        if self.collator.pads:
            return padded_batches(lengths, max_tokens)
        # The model would round a full batch up to this; tokens can fill it as well.
        return filled_batches(lengths, round_coarsely(max_tokens))

    def _decode(self, scores: SpanScores, batch: Mapping[str, Any], n_best_size: int) -> Spans:
        """Return the best spans of each window, on the device, scored against its null score."""
        starts, ends = (
            to_rows(batch[name], batch["slots"], batch["shape"], 0)
            for name in ("offset_starts", "offset_ends")
        )  # (B, T) each
        spans = best_spans(
            scores.start_logits,
            scores.end_logits,
            Offsets(starts, ends, batch["reach"]),
            n_best_size,
            self.options.max_answer_length,
            scores.trims,
        )
        null = null_scores(scores.start_logits, scores.end_logits)
        return spans._replace(scores=spans.scores - null)


def add_batch(
    merged: Sequence[CharacterScores], windows: Sequence[Window], spans: Spans, first_index: int
) -> None:
    """Add the spans of a batch of windows to those of their examples.

    Args:
        merged: The spans of each example so far; changed.
        windows: The batch's.
        spans: Of these windows, in their order.
        first_index: `example_index` of the first of the examples.
    """
    # One copy to the host for each matrix, not one for each number.
    rows = zip(*(matrix.tolist() for matrix in spans), strict=True)
    for window, found in zip(windows, rows, strict=True):
        add_spans(merged[int(window["example_index"]) - first_index], window, *found)


def null_scores(start_logits: torch.Tensor, end_logits: torch.Tensor) -> torch.Tensor:
    """Return each window's score for "the answer is not here", that of its first token: (B, 1).

    Logits of two windows have no common zero, so their spans cannot be ranked together; but how far
    each span is above its own window's null score can be ranked. A nan, of a model that diverged,
    counts as 0. `start_logits`, `end_logits`: (B, T).
    """
    first = NO_ANSWER_POSITION
    null = start_logits[:, first] + end_logits[:, first]
    return null.nan_to_num(nan=0.0).unsqueeze(1)


def blocks(windows: Iterator[Window]) -> Iterator[list[Window]]:
    """Group a stream of windows into blocks that never separate the windows of one example."""
    block: list[Window] = []
    for window in windows:
        is_full = len(block) >= WINDOWS_PER_BLOCK
        if is_full and window["example_index"] != block[-1]["example_index"]:
            yield block
            block = []
        block.append(window)
    if block:
        yield block
