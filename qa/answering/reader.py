"""The reader that people use: loaded from a directory or the hub, it answers questions.

reader = Reader.from_pretrained("runs/korquad/best")
reader.answer(question="...", context="...")[0].text
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from qa.answering.answerer import Answerer, blocks
from qa.answering.nbest import Answer, null_odds
from qa.answering.options import DecodeOptions
from qa.data.batches.collate import Collator
from qa.data.batches.evaluation_batches import BATCH_SIZE
from qa.data.examples import Example, check_text
from qa.data.nfc import compose_example, original_spans
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions, require_fits
from qa.data.windows.tokens import example_blocks
from qa.engine.config import from_values
from qa.engine.device import resolve_device
from qa.engine.errors import require
from qa.engine.json_files import kind_of, read_json, write_json
from qa.engine.precision import Precision
from qa.models.pretrained import load_tokenizer, revision_of, saved_file
from qa.models.span_reader import SpanReader

SETTINGS_FILE = "reader.json"
THRESHOLD = "null_score_diff_threshold"


class Reader:
    """A model with its tokenizer and settings, ready to answer questions and to be saved.

    Args:
        answerer: Runs the model.
        tokenizer: The model's own, a fast one of transformers.
        windows: How contexts are cut.
    """

    def __init__(self, answerer: Answerer, tokenizer: Any, windows: WindowOptions) -> None:
        self.answerer = answerer
        self.tokenizer = tokenizer
        self.windows = windows
        # Questions with larger null odds have no answer; None: every question has one.
        self.null_score_diff_threshold = answerer.options.null_score_diff_threshold

    @property
    def model(self) -> SpanReader:
        """The model that reads."""
        return self.answerer.model

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        **settings: float,
    ) -> Reader:
        """Load what `save_pretrained` or train.py (`best/`) wrote, or any extractive reader.

        Args:
            directory: A directory, or an id of the hub.
            device: "auto" (cuda, then mps, then cpu) or the name of a device.
            precision: "auto", "fp32", "bf16" or "fp16".
            batch_size: Windows of full length that are read at once.
            settings: Fields of `WindowOptions` and `DecodeOptions`, instead of those that the model
                was trained with.

        Raises:
            UserError: The model cannot be loaded, or a setting does not fit it.
        """
        name = str(directory)
        revision = revision_of(name)
        model = SpanReader.from_pretrained(name, require_head=True, revision=revision)
        tokenizer = load_tokenizer(name, revision)
        settings_file = saved_file(name, SETTINGS_FILE, revision)
        saved = read_settings(settings_file) or fitting_settings(model.max_length)
        values: dict[str, Any] = {**saved, **settings}
        own_batch_size = values.pop("batch_size", BATCH_SIZE)
        unknown = sorted(values.keys() - setting_names())
        require(not unknown, f"unknown settings of a reader: {', '.join(unknown)}")
        windows = from_values(WindowOptions, values)
        decoding = from_values(DecodeOptions, values)
        require_fits(tokenizer, model.max_length, windows)
        torch_device = resolve_device(device)
        model.to(torch_device).eval()
        answerer = Answerer(
            model,
            Collator(windows.max_seq_length, pads=not model.is_packed),
            decoding,
            Precision(precision, torch_device),
            own_batch_size if batch_size is None else batch_size,
        )
        return cls(answerer, tokenizer, windows)

    def save_pretrained(
        self, directory: Path, weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Write model, tokenizer and settings, for `from_pretrained` and for transformers.

        Args:
            directory: Gets the files.
            weights: The model's state_dict, for a model that holds only a part of its weights.
        """
        self.model.save_pretrained(directory, weights)
        self.tokenizer.save_pretrained(directory)
        settings = {**asdict(self.windows), **asdict(self.answerer.options)}
        settings[THRESHOLD] = self.null_score_diff_threshold
        write_json(
            directory / SETTINGS_FILE,
            {name: value for name, value in settings.items() if value is not None},
        )

    def answer(
        self, *, question: str, context: str, top_k: int = 1, nfc: bool = False
    ) -> list[Answer]:
        """The `top_k` best answers (fewer if the context has fewer spans), best first.

        [] if the reader was trained to leave questions unanswered, and does so here. nfc: read the
        text composed to Unicode NFC; answers are pieces of the context as it was passed all the
        same.
        """
        return self.answer_many([(question, context)], top_k=top_k, nfc=nfc)[0]

    def answer_many(
        self, pairs: Iterable[tuple[str, str]], *, top_k: int = 1, nfc: bool = False
    ) -> list[list[Answer]]:
        """The best answers of each (question, context), batched; contexts of any length."""
        examples = [
            Example(id=str(number), question=question.strip(), context=context)
            for number, (question, context) in enumerate(pairs)
        ]
        for example in examples:
            check_text(example.question, f"pair {example.id}: the question")
            check_text(example.context, f"pair {example.id}: the context")
        return list(self.iterate_answers(examples, top_k=top_k, nfc=nfc))

    def iterate_answers(
        self, examples: list[Example], *, top_k: int = 1, nfc: bool = False
    ) -> Iterator[list[Answer]]:
        """Like `answer_many`, one example after the other, holding only a block of windows."""
        require(top_k >= 1, f"top_k must be at least 1, not {top_k}")
        if not nfc:
            for answers in self._iterate_candidates(examples, top_k):
                yield answers[:top_k]
            return
        for first, end in example_blocks(examples):
            block = examples[first:end]
            composed = [compose_example(example) for example in block]
            found = self._iterate_candidates(composed, top_k)
            for example, answers in zip(block, found, strict=True):
                yield in_original(answers, example.context)[:top_k]

    def _iterate_candidates(self, examples: list[Example], top_k: int) -> Iterator[list[Answer]]:
        """All candidates of each example, `top_k` of them or more; [] if it is left unanswered."""
        # More candidates than usual are looked for if more are asked for.
        n_best_size = max(top_k, self.answerer.options.n_best_size)
        for block in blocks(iterate_windows(examples, self.tokenizer, self.windows)):
            first, last = block[0]["example_index"], block[-1]["example_index"]
            block_examples = examples[first : last + 1]
            found = self.answerer.answer_block(block_examples, block, first, n_best_size)
            for answers in found.answers:
                is_left = (
                    self.null_score_diff_threshold is not None
                    and null_odds(answers) > self.null_score_diff_threshold
                )
                yield [] if is_left else answers


def in_original(answers: Sequence[Answer], context: str) -> list[Answer]:
    """Answers from the composed context as pieces of the context itself, best first.

    Those that are widened to the same piece count once, with the sum of their probabilities.
    """
    spans = original_spans(context, [(answer.start, answer.end) for answer in answers])
    merged: dict[tuple[int, int], Answer] = {}
    for answer, (start, end) in zip(answers, spans, strict=True):
        better = merged.setdefault(
            (start, end),
            replace(answer, text=context[start:end], start=start, end=end, probability=0.0),
        )
        total = better.probability + answer.probability
        merged[start, end] = replace(better, probability=total)
    return sorted(merged.values(), key=lambda answer: -answer.probability)


def fitting_settings(model_limit: int | None) -> dict[str, float]:
    """Settings for a reader that brings none: the usual ones, smaller for a short model."""
    length = min(384, model_limit or 384)
    return {
        "max_seq_length": length,
        "window_overlap": length // 3,
        "max_question_length": length // 6,
    }


def setting_names() -> set[str]:
    """What may be set when a reader is loaded."""
    return {f.name for kind in (WindowOptions, DecodeOptions) for f in fields(kind)}


def read_settings(path: Path | None) -> dict[str, float]:
    """The settings saved beside a model; {} if `path` is None: the model was not made by qa."""
    if path is None:
        return {}
    values = read_json(path, "a reader's settings")
    for name, value in values.items():
        types = (int, float) if name == THRESHOLD else (int,)
        require(
            type(value) in types,
            f"{path}: {name} must be a number, such as train.py writes, not {kind_of(value)}",
        )
    unknown = sorted(values.keys() - setting_names() - {"batch_size"})
    require(not unknown, f"{path}: unknown settings: {', '.join(unknown)}")
    return values
