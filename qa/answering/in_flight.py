"""What a device works on while the host reads what came before: batches and blocks in flight.

B: windows of a batch, T: tokens, N: spans found in a window.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch

from qa.answering.free_answers import FreeAnswer, Outside, judge_free, read_free
from qa.answering.nbest import Answer, CharacterScores, add_spans, rank_answers
from qa.data.examples import Example
from qa.models.span_decode import Spans

Moment: TypeAlias = "torch.cuda.Event | float"


@dataclass(frozen=True)
class BlockAnswers:
    """What was found for the examples of a block."""

    part: slice  # the block's examples among all
    answers: list[list[Answer]]  # each example's, best first; [] if no span can be an answer
    loss_sum: float  # the windows' summed loss, 0 if it was not asked for
    num_windows: int
    num_items: int  # what the loss is a sum over
    decode_seconds: float  # time after the logits: decoding, merging, cutting text
    # Whether each example's freely written answer stands nowhere in its context; [] if none was.
    is_outside: list[bool] = field(default_factory=list)


@dataclass
class BlockInFlight:
    """A block of which some batches are read. E: its examples."""

    part: slice  # the block's examples among all
    num_windows: int
    merged: list[CharacterScores] = field(init=False)  # (E,) the spans of each example so far
    free: list[list[FreeAnswer]] = field(init=False)  # (E,) what was written freely
    num_items: int = 0  # of the batches so far
    loss_sum: float = 0.0  # of the windows read so far
    decode_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.merged = [{} for _ in range(self.part.start, self.part.stop)]
        self.free = [[] for _ in self.merged]

    def finish(
        self,
        examples: Sequence[Example],
        n_best_size: int,
        temperature: float,
        outside: Outside | None = None,
    ) -> BlockAnswers:
        """Return the answers once all batches are read.

        Args:
            examples: All, not the block's.
            n_best_size: Candidates for each example.
            temperature: What scores are divided by before they become probabilities.
            outside: What becomes of freely written answers; None if there are none.
        """
        started = time.perf_counter()
        answers, is_outside = [], list[bool]()
        wrote = outside is not None and any(self.free)
        for example, spans, free in zip(examples[self.part], self.merged, self.free, strict=True):
            texts: dict[str, float] = {}
            if outside is not None and wrote:
                texts, is_out = judge_free(free, example.context, spans, outside)
                is_outside.append(is_out)
            answers.append(rank_answers(example.context, spans, n_best_size, temperature, texts))
        seconds = self.decode_seconds + time.perf_counter() - started
        counts = self.loss_sum, self.num_windows, self.num_items
        return BlockAnswers(self.part, answers, *counts, seconds, is_outside)


@dataclass(frozen=True)
class BatchInFlight:
    """A batch whose spans are found, or will be, and come to the host.

    Args:
        block: Gets them.
        examples: (B,) index in the block of each window's example.
        offsets: (2, B, T) of `offset_rows`.
        results: (5 B N + 1,) on the host, there when `ready` has come; see `send_results`.
        decoding: When the logits were there.
        ready: When the results are there.
        free: (B, 2 + L) of `send_free`, on the host; None if nothing was written freely.
    """

    block: BlockInFlight
    examples: Sequence[int]
    offsets: np.ndarray
    results: torch.Tensor
    decoding: Moment
    ready: Moment
    free: torch.Tensor | None = None

    def read(self) -> None:
        """Wait for the results, and add them to those of the block."""
        self.block.decode_seconds += wait(self.decoding, self.ready)
        started = time.perf_counter()
        found = self.results.numpy()
        spans = found[:-1].reshape(5, len(self.examples), -1)
        scores = spans[0]  # (B, N)
        firsts, lasts, start_trims, end_trims = spans[1:].astype(np.int64)
        starts, ends = self.offsets
        rows = np.arange(len(self.examples))[:, None]
        found_in = zip(
            self.examples,
            scores.tolist(),
            (starts[rows, firsts] + start_trims).tolist(),
            (ends[rows, lasts] - end_trims).tolist(),
            strict=True,
        )
        for example, *columns in found_in:
            add_spans(self.block.merged[example], *columns)
        if self.free is not None:
            for example, answer in zip(self.examples, read_free(self.free), strict=True):
                self.block.free[example].append(answer)
        self.block.loss_sum = float(found[-1])
        self.block.decode_seconds += time.perf_counter() - started


def send_results(spans: Spans, loss_sum: torch.Tensor) -> torch.Tensor:
    """Return (5 B N + 1,) on the host: the spans, field by field, and the loss of the block so far.

    One copy, which on CUDA is only under way, so that the host need not wait for the model.
    `loss_sum`: a scalar, fp32, in which all numbers are exact, since tokens and trims are far below
    2**24.
    """
    fields = [part.to(loss_sum.dtype).flatten() for part in spans]
    packed = torch.cat([*fields, loss_sum.reshape(1)])
    is_cuda = packed.device.type == "cuda"
    results = torch.empty(packed.shape, dtype=packed.dtype, pin_memory=is_cuda)
    return results.copy_(packed, non_blocking=is_cuda)


def pinned(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return a batch from which copies to this device do not block the host."""
    if device.type != "cuda":
        return batch
    return {
        name: value.pin_memory() if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }


def moment(device: torch.device) -> Moment:
    """Return when the device will have done all that it was told to do; not on CUDA: now."""
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


def wait(start: Moment, end: Moment) -> float:
    """Wait until `end` has come, and return how many seconds lie between the two."""
    if isinstance(start, float) or isinstance(end, float):
        assert isinstance(start, float)
        assert isinstance(end, float)
        return end - start
    end.synchronize()
    milliseconds: float = start.elapsed_time(end)
    return milliseconds / 1000
