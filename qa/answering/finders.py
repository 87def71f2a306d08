"""From a batch of windows to the best answers in each: one finder for each kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

import torch

from qa.answering.options import CONSTRAINED, FREE, DecodeOptions
from qa.data.batches.collate import Collator
from qa.data.batches.targets import TargetCollator
from qa.data.windows.cut import NO_ANSWER_POSITION
from qa.engine.errors import require
from qa.models.generative.free import FreeAnswers, write_freely
from qa.models.generative.loss import TARGETS, answer_loss
from qa.models.generative.reading import Reading
from qa.models.generative.search import search
from qa.models.generative.seq2seq import Seq2SeqReader
from qa.models.generative.spans import candidate_spans, with_free
from qa.models.loss import window_loss
from qa.models.model_io import SpanScores, model_inputs
from qa.models.onnx_reader import OnnxReader
from qa.models.readers import WRITING, AnyReader, WritingReader
from qa.models.span_decode import Offsets, Spans, best_spans
from qa.models.span_reader import SpanReader

AnyModel: TypeAlias = AnyReader | OnnxReader
Read = TypeVar("Read")


class Finder(Protocol[Read]):
    """What an `Answerer` asks of a model."""

    def read(self, batch: Mapping[str, Any]) -> Read:
        """Run the model over the windows of a batch on its device."""

    def loss(self, read: Read, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the windows' summed loss."""

    def find(
        self, read: Read, offsets: Offsets, n_best_size: int, judges: bool
    ) -> tuple[Spans, FreeAnswers | None]:
        """Return the best spans of each window, scored against its null score.

        Args:
            read: What `read` returned.
            offsets: The characters that each token covers.
            n_best_size: Spans to find in each window.
            judges: Also write an answer freely, if the model can, to see whether it stands there.
        """


def make_finder(model: AnyModel, options: DecodeOptions) -> Finder[Any]:
    """Return what finds answers with this model."""
    if isinstance(model, WRITING):
        return WritingFinder(model, options)
    return SpanFinder(model, options)


def collator_class(model: AnyModel) -> type[Collator]:
    """Return the class that makes batches for this model."""
    return TargetCollator if isinstance(model, WRITING) else Collator


class SpanFinder:
    """Finds the best pairs of a first and a last token.

    Args:
        model: Scores them.
        options: How answers are chosen.
    """

    def __init__(self, model: SpanReader | OnnxReader, options: DecodeOptions) -> None:
        self.model = model
        self.options = options

    def read(self, batch: Mapping[str, Any]) -> SpanScores:
        """Return the windows' scores."""
        scores: SpanScores = self.model(**model_inputs(batch))
        return scores

    def loss(self, read: SpanScores, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the windows' summed loss."""
        return window_loss(read, batch)

    def find(
        self, read: SpanScores, offsets: Offsets, n_best_size: int, judges: bool
    ) -> tuple[Spans, None]:
        """Return the best spans of each window, on the device; see `Finder`."""
        spans = best_spans(
            read.start_logits,
            read.end_logits,
            offsets,
            n_best_size,
            self.options.max_answer_length,
            read.trims,
            read.pairs,
        )
        null = null_scores(read.start_logits, read.end_logits)
        return spans._replace(scores=spans.scores - null), None


class WritingFinder:
    """Has a generative reader write answers: pieces of the context, or what it likes.

    Args:
        model: Writes.
        options: How answers are chosen.
    """

    def __init__(self, model: WritingReader, options: DecodeOptions) -> None:
        limit = model.max_length if isinstance(model, Seq2SeqReader) else None
        require(
            limit is None or options.max_answer_length < limit,
            f"max_answer_length {options.max_answer_length}: the decoder has positions for {limit}"
            " tokens, the end of an answer included; pass a smaller one",
        )
        self.model = model
        self.options = options

    def read(self, batch: Mapping[str, Any]) -> Reading:
        """Return the windows, ready to be written about."""
        return self.model.read(**model_inputs(batch))

    def loss(self, read: Reading, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the windows' summed loss; that of the span head is no part of it."""
        log_probs = self.model.log_probs(read, *(batch[name] for name in TARGETS))
        return answer_loss(log_probs, read.scores, batch)

    def find(
        self, read: Reading, offsets: Offsets, n_best_size: int, judges: bool
    ) -> tuple[Spans, FreeAnswers | None]:
        """Return the likeliest answers of each window, on the device; see `Finder`."""
        decoding = self.options.decoding or CONSTRAINED
        windows = read.input_ids, read.in_context, read.covers
        longest = self.options.max_answer_length
        found = search(self.model.writer(read), *windows, n_best_size, longest)
        free = None
        if judges or decoding == FREE:
            free = write_freely(self.model.writer(read), *windows, longest)
            if decoding == FREE:
                found = with_free(found, free)
        return candidate_spans(found, offsets, n_best_size, read.trims), free


def null_scores(start_logits: torch.Tensor, end_logits: torch.Tensor) -> torch.Tensor:
    """Return each window's score for "the answer is not here", that of its first token: (B, 1).

    Logits of two windows have no common zero, so their spans cannot be ranked together; but how far
    each span is above its own window's null score can be ranked. A nan, of a model that diverged,
    counts as 0. `start_logits`, `end_logits`: (B, T).
    """
    first = NO_ANSWER_POSITION
    null = start_logits[:, first] + end_logits[:, first]
    return null.nan_to_num(nan=0.0).unsqueeze(1)
