"""The reader that people use: loaded from a directory or the hub, it answers questions.

reader = Reader.from_pretrained("runs/korquad/best")
reader.answer(question="...", context="...")[0].text
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa.answering.answerer import Answerer
from qa.answering.loading import load, require_types
from qa.answering.nbest import Answer
from qa.answering.options import CONSTRAINED, CollectionOptions
from qa.answering.questions import Pair, check_examples, check_top_k, make_example, to_examples
from qa.answering.reader_settings import DECODING, SETTINGS_FILE, THRESHOLD
from qa.answering.streaming import Answered, AnswerStream
from qa.data.examples import Example
from qa.data.windows.coverage import Coverage
from qa.data.windows.options import WindowOptions
from qa.engine.distributed import SINGLE_PROCESS, World
from qa.engine.errors import require
from qa.engine.json_files import write_json
from qa.models.onnx_reader import OnnxReader
from qa.models.readers import WRITING, AnyReader

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast


class Reader:
    """A model with its tokenizer and settings, ready to answer questions and to be saved.

    Args:
        answerer: Runs the model.
        tokenizer: The model's own.
        windows: How contexts are cut.
        collection: How answers are chosen among passages; see `qa.open_domain`.
    """

    def __init__(
        self,
        answerer: Answerer,
        tokenizer: PreTrainedTokenizerFast,
        windows: WindowOptions,
        collection: CollectionOptions | None = None,
    ) -> None:
        self.answerer = answerer
        self.tokenizer = tokenizer
        self.windows = windows
        self.collection = collection or CollectionOptions()
        # Questions with larger null odds are left unanswered; None: every question is answered.
        self.null_score_diff_threshold = answerer.options.null_score_diff_threshold

    @property
    def model(self) -> AnyReader:
        """The model that reads; UserError if it is an ONNX export, whose weights are no torch's."""
        model = self.answerer.model
        require(
            not isinstance(model, OnnxReader),
            "an ONNX export cannot be trained or saved; copy its directory, or load the reader that"
            " it was made of",
        )
        assert not isinstance(model, OnnxReader)
        return model

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        trust_remote_code: bool = False,
        **settings: Any,
    ) -> Reader:
        """Load what `save_pretrained`, train.py (`best/`) or `qa export` wrote, or any reader.

        Args:
            directory: A directory, or an id of the hub. An export, run by onnxruntime on the CPU
                in the form that it has, must be a directory.
            device: "auto" (cuda, then mps, then cpu) or the name of a device.
            precision: "auto", "fp32", "bf16" or "fp16".
            batch_size: In windows of full length; None for the size saved with the model, or 32.
            trust_remote_code: Run the code that comes with the model; read it first.
            settings: Fields of `WindowOptions`, `DecodeOptions` and `CollectionOptions`, instead of
                those that were saved with the model.

        Raises:
            UserError: The model cannot be loaded, or a setting does not fit it.
        """
        require_types(directory, device, precision, trust_remote_code)
        if batch_size is not None:
            settings["batch_size"] = batch_size
        return cls(*load(str(directory), device, precision, trust_remote_code, settings))

    def save_pretrained(
        self, directory: str | Path, weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Write model, tokenizer and settings, for `from_pretrained` and for transformers.

        `weights`: the model's state_dict, for a process that holds only a part of it.
        """
        self.model.save_pretrained(Path(directory), weights)
        self.save_settings(directory)

    def save_settings(self, directory: str | Path) -> None:
        """Write tokenizer and settings, which lie beside any form of the model."""
        self.tokenizer.save_pretrained(directory)
        options = (self.windows, self.answerer.options, self.collection)
        settings = {name: value for each in options for name, value in asdict(each).items()}
        settings[THRESHOLD] = self.null_score_diff_threshold
        if isinstance(self.answerer.model, WRITING):
            settings[DECODING] = self.answerer.options.decoding or CONSTRAINED
        write_json(
            Path(directory) / SETTINGS_FILE,
            {name: value for name, value in settings.items() if value is not None},
        )

    def coverage(self) -> Coverage:
        """Return a count, still empty, of what this reader misses of questions and answers."""
        return Coverage(self.tokenizer, self.windows, self.answerer.options.max_answer_length)

    def answer(
        self, *, question: str, context: str, top_k: int = 1, nfc: bool = False
    ) -> list[Answer]:
        """Return the best answers, best first.

        Args:
            question: What is asked.
            context: The text that holds the answer, of any length.
            top_k: How many answers; fewer are returned if the context has fewer spans.
            nfc: Read the text composed to Unicode NFC. Answers are pieces of the context as it was
                passed all the same.

        Returns:
            [] if the reader was trained to leave questions unanswered, and leaves this one so; or
            if nothing in the context can be an answer, such as in one of zero-width spaces.
        """
        example = make_example(question, context)
        (answers,) = self.iterate_answers([example], top_k=top_k, nfc=nfc)
        return answers

    def answer_many(
        self, pairs: Iterable[Pair], *, top_k: int = 1, nfc: bool = False
    ) -> list[list[Answer]]:
        """Return the best answers of each pair, batched.

        `pairs`: (question, context) or {"question": ..., "context": ...} each, other keys are
        ignored; or examples and other objects with these attributes. For `top_k` and `nfc` see
        `answer`.
        """
        return list(self.iterate_answers(to_examples(pairs), top_k=top_k, nfc=nfc))

    def iterate_answers(
        self,
        examples: Iterable[Example],
        *,
        top_k: int = 1,
        nfc: bool = False,
        coverage: Coverage | None = None,
    ) -> Iterator[list[Answer]]:
        """Return an iterator over the best answers of each example, in blocks of windows.

        For `top_k` and `nfc` see `answer`. What is wrong with the arguments is raised at once.
        Behind the last answers, or when the iterator is closed before, each kind of thing that was
        missed in what was read, such as the front of long questions, is a `Notice`; or it is
        counted in `coverage`, if one is passed.
        """
        check_top_k(top_k, nfc)
        return self._iterate_answers(check_examples(examples), top_k, nfc, coverage)

    def stream_answers(
        self,
        examples: Iterable[Example],
        *,
        top_k: int = 1,
        nfc: bool = False,
        world: World = SINGLE_PROCESS,
        coverage: Coverage | None = None,
    ) -> Generator[Answered, None, None]:
        """Yield blocks of (example, its best answers), reading examples while they are answered.

        A stream that starts with the first example of a block yields the same blocks from there on.

        Args:
            examples: As `read_examples` returns them; they are not checked.
            top_k: Answers for each.
            nfc: Read the texts composed; see `answer`.
            world: Processes that share the work; the main one yields the blocks of all, in order.
            coverage: Counts what is missed in what is read; None: that becomes notices.
        """
        counted, threshold = coverage or self.coverage(), self.null_score_diff_threshold
        settings = (self.answerer, self.tokenizer, self.windows, threshold, top_k, counted, world)
        stream = AnswerStream(*settings)
        try:
            yield from stream.composed_blocks(examples) if nfc else stream.blocks(examples)
        finally:
            if coverage is None:
                counted.give_notices()

    def _iterate_answers(
        self, examples: list[Example], top_k: int, nfc: bool, given: Coverage | None
    ) -> Iterator[list[Answer]]:
        """Yield the best answers of each example in turn, holding only a block of windows."""
        found = self.stream_answers(examples, top_k=top_k, nfc=nfc, coverage=given)
        with closing(found) as blocks:
            for block in blocks:
                for _, answers in block:
                    yield answers
