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
from qa.data.batches.collate import Collator, pack_offsets
from qa.data.batches.evaluation_batches import (
    BATCH_SIZE,
    CPU_BATCH_TOKENS,
    filled_batches,
    padded_batches,
)
from qa.data.examples import Example
from qa.data.windows.cut import NO_ANSWER_POSITION
from qa.engine.config import require_at_least
from qa.engine.loop import move_to_device
from qa.engine.precision import autocast
from qa.models.loss import window_loss
from qa.models.packing.segments import round_coarsely, to_rows
from qa.models.span_decode import Offsets, Spans, best_spans
from qa.models.span_reader import SpanReader, SpanScores, model_inputs

WINDOWS_PER_BLOCK = 256  # within which batches are made; a last one need not be full

Window: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class DecodeOptions:
    """How answers are chosen, and how many windows are read at once.

    max_answer_length: in tokens. batch_size: in windows of full length; a batch has room for the
    tokens of so many (on a CPU for 2,048 at most), and shorter windows share it.
    """

    n_best_size: int = 20
    max_answer_length: int = 30
    batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        for name in ("n_best_size", "max_answer_length", "batch_size"):
            require_at_least(self, name, 1)


class Answerer:
    """Runs a reader over windows and decodes them; counts loss and time on the way.

    loss_sum: () the windows' summed loss, on the device. decode_seconds: time spent after the
    logits: decoding, merging, cutting text.
    """

    def __init__(
        self,
        reader: SpanReader,
        collator: Collator,
        options: DecodeOptions,
        device: torch.device,
        precision: str,
    ) -> None:
        self.reader = reader
        self.collator = collator
        self.options = options
        self.device = device
        self.precision = precision
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self.loss_sum = torch.zeros((), device=self.device)
        self.num_windows = 0
        self.decode_seconds = 0.0

    def take_loss(self) -> tuple[float, int]:
        """Summed loss and number of windows since the last call. This is a host sync."""
        taken = float(self.loss_sum), self.num_windows
        self.loss_sum, self.num_windows = torch.zeros((), device=self.device), 0
        return taken

    def answer_block(
        self,
        examples: Sequence[Example],
        windows: Sequence[Window],
        first_index: int,
        n_best_size: int | None = None,
    ) -> list[list[Answer]]:
        """The n-best answers of each example, best first; [] if nothing can be an answer.

        windows: all windows of these examples, their example_index counting from `first_index`.
        n_best_size: instead of the options' one.
        """
        n_best_size = n_best_size or self.options.n_best_size
        merged: list[CharacterScores] = [{} for _ in examples]
        # Here, so that weights are cast once and not for every batch.
        with torch.no_grad(), autocast(self.device, self.precision):
            for indices in self._batches([int(window["length"]) for window in windows]):
                batch = [windows[index] for index in indices]
                scores, offsets = self._scores(batch)
                if self.device.type == "cuda":
                    # Not to count the model's time as decoding; `tolist` below would wait anyway.
                    torch.cuda.synchronize(self.device)
                started = time.perf_counter()
                spans = self._decode(scores, offsets, n_best_size)
                # One copy to the host for each matrix, not one for each number.
                columns = zip(*(matrix.tolist() for matrix in spans), strict=True)
                for window, found in zip(batch, columns, strict=True):
                    example = int(window["example_index"]) - first_index
                    add_spans(merged[example], window, *found)
                self.decode_seconds += time.perf_counter() - started
        started = time.perf_counter()
        answers = [
            rank_answers(example.context, spans_found, n_best_size)
            for example, spans_found in zip(examples, merged, strict=True)
        ]
        self.decode_seconds += time.perf_counter() - started
        return answers

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Indices of windows that are read at once."""
        max_tokens = self.options.batch_size * self.collator.max_length
        if self.device.type == "cpu":
            max_tokens = min(max_tokens, CPU_BATCH_TOKENS)
        if self.collator.pads:
            return padded_batches(lengths, max_tokens)
        # What the reader would round a full batch up to can as well be filled.
        return filled_batches(lengths, round_coarsely(max_tokens))

    def _scores(self, windows: Sequence[Window]) -> tuple[SpanScores, Offsets]:
        """The windows' scores, and the characters that their tokens cover; counts their loss."""
        host_batch = {**self.collator(windows), **pack_offsets(windows)}
        batch = move_to_device(host_batch, self.device)
        scores = self.reader(**model_inputs(batch))
        self.loss_sum += window_loss(scores, batch)
        self.num_windows += len(windows)
        starts, ends = (
            to_rows(batch[name], batch["slots"], batch["shape"], 0)
            for name in ("offset_starts", "offset_ends")
        )
        return scores, Offsets(starts, ends, batch["reach"])

    def _decode(self, scores: SpanScores, offsets: Offsets, n_best_size: int) -> Spans:
        """The best spans of each window, on the device."""
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
    """(B, 1) each window's score for "the answer is not here", which its first token stands for.

    Logits of two windows have no common zero, so their spans cannot be ranked together; how far
    each is above its own window's null score can. A nan, of a model that diverged, counts as 0.
    """
    first = NO_ANSWER_POSITION
    null = start_logits[:, first] + end_logits[:, first]
    return null.nan_to_num(nan=0.0).unsqueeze(1)


def blocks(windows: Iterator[Window]) -> Iterator[list[Window]]:
    """Group a stream of windows into blocks that never part the windows of one example."""
    block: list[Window] = []
    for window in windows:
        is_full = len(block) >= WINDOWS_PER_BLOCK
        if is_full and window["example_index"] != block[-1]["example_index"]:
            yield block
            block = []
        block.append(window)
    if block:
        yield block
