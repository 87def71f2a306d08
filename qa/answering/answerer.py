"""Answers blocks of examples with a model on a device: batches in, n-best answers out.

B: windows of a batch, T: tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

from qa.answering.blocks import Window, examples_of
from qa.answering.in_flight import (
    BatchInFlight,
    BlockAnswers,
    BlockInFlight,
    moment,
    pinned,
    send_results,
)
from qa.answering.options import DecodeOptions
from qa.data.batches.collate import Collator, find_reach, offset_rows
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
from qa.models.onnx_reader import OnnxReader
from qa.models.span_decode import Offsets, Spans, best_spans
from qa.models.span_reader import SpanReader


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
        model: SpanReader | OnnxReader,
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

    def answer_blocks(
        self,
        examples: Sequence[Example],
        blocks: Iterable[Sequence[Window]],
        n_best_size: int | None = None,
        computes_loss: bool = False,
    ) -> Iterator[BlockAnswers]:
        """Yield the answers of each block, in order.

        The device never waits for the host to read what it found: each batch is handed to it before
        the one before is read, also where a new block begins. So two batches are in flight, and two
        blocks in memory.

        Args:
            examples: The questions.
            blocks: Windows, labelled if the loss is asked for, all those of an example in one
                block; see `make_blocks`. One without windows has no answers.
            n_best_size: Candidates for each example; None for the number of the options.
            computes_loss: Also sum the windows' loss.
        """
        n_best_size = n_best_size or self.options.n_best_size
        temperature = self.options.temperature or 1.0
        before: BlockInFlight | None = None
        waiting: BatchInFlight | None = None
        for windows in blocks:
            block = BlockInFlight(examples_of(windows), len(windows))
            loss_sum = torch.zeros((), device=self.device)
            # Not around `yield`, which would leave the caller without gradients. Here, so that
            # weights are cast once and not for every batch.
            with torch.no_grad(), self.precision.autocast():
                for indices in self._batches([int(window["length"]) for window in windows]):
                    batch = self._submit(
                        block,
                        [windows[index] for index in indices],
                        n_best_size,
                        loss_sum,
                        computes_loss,
                    )
                    if waiting is not None:
                        waiting.read()
                    waiting = batch
            if waiting is not None and waiting.block is not block:  # this one has no batch
                waiting.read()
                waiting = None
            if before is not None:
                yield before.finish(examples, n_best_size, temperature)
            before = block
        if waiting is not None:
            waiting.read()
        if before is not None:
            yield before.finish(examples, n_best_size, temperature)

    def _submit(
        self,
        block: BlockInFlight,
        windows: Sequence[Window],
        n_best_size: int,
        loss_sum: torch.Tensor,
        computes_loss: bool,
    ) -> BatchInFlight:
        """Hand a batch of the block's windows to the device.

        Args:
            block: Gets the spans that are found.
            windows: The batch's.
            n_best_size: Spans to find in each window.
            loss_sum: Of the block's windows so far, on the device; changed.
            computes_loss: Whether the batch's loss is added.
        """
        batch = self.collator(windows)
        offsets = offset_rows(windows, batch["shape"][1])
        batch["offsets"] = torch.from_numpy(offsets)
        on_device = move_to_device(pinned(batch, self.device), self.device)
        scores = self.model(**model_inputs(on_device))
        if computes_loss:
            loss_sum += window_loss(scores, on_device)
        decoding = moment(self.device)
        starts, ends = on_device["offsets"]
        spans = self._decode(scores, Offsets(starts, ends, find_reach(*offsets)), n_best_size)
        results = send_results(spans, loss_sum)
        numbers = [int(window["example_index"]) - block.part.start for window in windows]
        return BatchInFlight(block, numbers, offsets, results, decoding, moment(self.device))

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return the indices of the windows of each batch."""
        max_tokens = self.batch_size * self.collator.max_length
        if self.device.type == "cpu":
            max_tokens = min(max_tokens, CPU_BATCH_TOKENS)
        if self.collator.pads:
            return padded_batches(lengths, max_tokens)
        # A full batch would be filled up to this; windows can fill it as well.
        return filled_batches(lengths, self.collator.round_total(max_tokens))

    def _decode(self, scores: SpanScores, offsets: Offsets, n_best_size: int) -> Spans:
        """Return the best spans of each window, on the device, scored against its null score."""
        spans = best_spans(
            scores.start_logits,
            scores.end_logits,
            offsets,
            n_best_size,
            self.options.max_answer_length,
            scores.trims,
        )
        null = null_scores(scores.start_logits, scores.end_logits)
        return spans._replace(scores=spans.scores - null)


def null_scores(start_logits: torch.Tensor, end_logits: torch.Tensor) -> torch.Tensor:
    """Return each window's score for "the answer is not here", that of its first token: (B, 1).

    Logits of two windows have no common zero, so their spans cannot be ranked together; but how far
    each span is above its own window's null score can be ranked. A nan, of a model that diverged,
    counts as 0. `start_logits`, `end_logits`: (B, T).
    """
    first = NO_ANSWER_POSITION
    null = start_logits[:, first] + end_logits[:, first]
    return null.nan_to_num(nan=0.0).unsqueeze(1)
