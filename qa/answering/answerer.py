"""Answers blocks of examples with a model on a device: batches in, n-best answers out.

B: windows of a batch, T: tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch

from qa.answering.blocks import Window, examples_of
from qa.answering.finders import AnyModel, collator_class, make_finder
from qa.answering.free_answers import Outside, send_free
from qa.answering.in_flight import (
    BatchInFlight,
    BlockAnswers,
    BlockInFlight,
    moment,
    pinned,
    send_results,
)
from qa.answering.options import FREE, DecodeOptions
from qa.data.batches.collate import Collator, find_reach, offset_rows
from qa.data.batches.evaluation_batches import (
    BATCH_SIZE,
    CPU_BATCH_TOKENS,
    filled_batches,
    padded_batches,
)
from qa.data.batches.targets import TEXT_TARGETS, Covered, ToIds, ids_of_text, text_targets
from qa.data.examples import Example
from qa.engine.batch import move_to_device
from qa.engine.errors import require
from qa.engine.precision import Precision
from qa.models.readers import WRITING
from qa.models.span_decode import Offsets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Answerer:
    """Runs a model over windows and decodes them.

    Args:
        model: On the device of `precision`, and in evaluation mode when it is called.
        collator: Makes batches for this model.
        options: How answers are chosen.
        precision: The number format of the products.
        batch_size: In windows of full length: a batch has capacity for the tokens of this many (on
            a CPU for 2,048 tokens at most), which shorter windows share.
        tokenizer: The model's own; of a generative reader, which may write what is not in a text.
    """

    def __init__(
        self,
        model: AnyModel,
        collator: Collator,
        options: DecodeOptions,
        precision: Precision,
        batch_size: int = BATCH_SIZE,
        tokenizer: PreTrainedTokenizerFast | None = None,
    ) -> None:
        require(batch_size >= 1, f"batch_size must be at least 1, not {batch_size}")
        self.model = model
        self.collator = collator
        self.options = options
        self.precision = precision
        self.device = precision.device
        self.batch_size = batch_size
        self.finder = make_finder(model, options)
        self.outside: Outside | None = None
        self._check: Callable[[], None] | None = None
        self.to_ids: ToIds | None = None
        if tokenizer is not None and isinstance(model, WRITING):
            self.to_ids = ids_of_text(tokenizer)
            to_text = partial(tokenizer.decode, skip_special_tokens=True)
            self.outside = Outside(to_text, counts=options.decoding == FREE)

    @contextmanager
    def checking(self, check: Callable[[], None]) -> Iterator[None]:
        """Call `check` before each batch that is read within; what it raises ends the answers."""
        self._check = check
        try:
            yield
        finally:
            self._check = None

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
                    if self._check is not None:
                        self._check()
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
                yield before.finish(examples, n_best_size, temperature, self.outside)
            before = block
        if waiting is not None:
            waiting.read()
        if before is not None:
            yield before.finish(examples, n_best_size, temperature, self.outside)

    def with_text_targets(
        self, windows: Sequence[Window], examples: Sequence[Example]
    ) -> Sequence[Window]:
        """Return the windows with the targets that are no place, as their loss needs them.

        Args:
            windows: A block.
            examples: The questions.
        """
        if self.to_ids is None:
            return windows
        longest = self.options.max_answer_length
        found = text_targets(Covered.of(windows), examples, self.to_ids, longest)
        return [
            {**window, TEXT_TARGETS: found[row]} if row in found else window
            for row, window in enumerate(windows)
        ]

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
        read = self.finder.read(on_device)
        if computes_loss:
            loss_sum += self.finder.loss(read, on_device)
        decoding = moment(self.device)
        starts, ends = on_device["offsets"]
        characters = Offsets(starts, ends, find_reach(*offsets))
        spans, free = self.finder.find(read, characters, n_best_size, judges=computes_loss)
        results = send_results(spans, loss_sum)
        numbers = [int(window["example_index"]) - block.part.start for window in windows]
        block.num_items += batch["num_items"]
        # Unlike the spans', this copy waits for the device; so did the writing.
        written = None if free is None else send_free(free)
        ready = moment(self.device)
        return BatchInFlight(block, numbers, offsets, results, decoding, ready, written)

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return the indices of the windows of each batch."""
        max_tokens = self.batch_size * self.collator.max_length
        if self.device.type == "cpu":
            max_tokens = min(max_tokens, CPU_BATCH_TOKENS)
        if self.collator.pads:
            return padded_batches(lengths, max_tokens)
        # A full batch would be filled up to this; windows can fill it as well.
        return filled_batches(lengths, self.collator.round_total(max_tokens))


def make_answerer(
    model: AnyModel,
    max_length: int,
    options: DecodeOptions,
    precision: Precision,
    batch_size: int = BATCH_SIZE,
    tokenizer: PreTrainedTokenizerFast | None = None,
) -> Answerer:
    """Return the answerer of a model, with the batches that it takes.

    Args:
        model: Prepared for `precision`, on its device.
        max_length: Tokens of the longest window.
        options: See `Answerer`, also for the others.
        precision: The number format.
        batch_size: In windows of full length.
        tokenizer: The model's own.
    """
    form = model.batch_form(precision.device, max_length, trains=False)
    collator = collator_class(model)(max_length, *form)
    return Answerer(model, collator, options, precision, batch_size, tokenizer)
