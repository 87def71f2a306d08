"""Use a trained reader.

python -m qa.predict runs/korquad/best --context "..." --question "..."

reader = Reader.from_pretrained("runs/korquad/best")
reader.answer(question="...", context="...")[0].text
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa.cli import Parser, run_command
from qa.data.composed import compose_example, count_decomposed, original_spans
from qa.data.examples import Example, check_text
from qa.engine.errors import UserError, require
from qa.hub import is_on_hub, names_hub_data, use_caches_if_unreachable
from qa.start import no_collection

if TYPE_CHECKING:
    from qa.answerer import Answerer
    from qa.nbest import Answer

SETTINGS_FILE = "reader.json"
SETTINGS = {
    "max_seq_length",
    "window_overlap",
    "max_question_length",
    "n_best_size",
    "max_answer_length",
    "batch_size",
}
THRESHOLD = "null_score_diff_threshold"


class Reader:
    """A saved model with its tokenizer and settings, ready to answer questions."""

    def __init__(
        self,
        answerer: Answerer,
        tokenizer: Any,
        windows: Any,
        null_score_diff_threshold: float | None = None,
    ) -> None:
        self.answerer = answerer
        self.tokenizer = tokenizer
        self.windows = windows  # WindowOptions
        # Questions with larger null odds have no answer; None: every question has one.
        self.null_score_diff_threshold = null_score_diff_threshold

    @classmethod
    @no_collection()
    def from_pretrained(
        cls, directory: str | Path, device: str = "auto", precision: str = "auto", **settings: float
    ) -> Reader:
        """Load a directory that train.py wrote (`best/`), or any extractive reader of the hub.

        settings: max_seq_length, window_overlap, max_question_length, n_best_size,
        max_answer_length, batch_size, null_score_diff_threshold; by default what the model was
        trained with. UserError if the model cannot be loaded or a setting does not fit it.
        """
        from qa.answerer import Answerer, DecodeOptions
        from qa.data.collate import Collator
        from qa.data.windows import WindowOptions, require_fits
        from qa.engine.precision import resolve_device, resolve_precision
        from qa.models.pretrained import load_tokenizer, revision_of, saved_file
        from qa.models.span_reader import SpanReader

        name = str(directory)
        revision = revision_of(name)
        model = SpanReader.from_pretrained(name, require_head=True, revision=revision)
        tokenizer = load_tokenizer(name, revision)
        settings_file = saved_file(name, SETTINGS_FILE, revision)
        saved = read_settings(settings_file) or fitting_settings(model.max_length)
        values: dict[str, Any] = {**saved, **settings}
        threshold = values.pop(THRESHOLD, None)
        unknown = sorted(values.keys() - SETTINGS)
        require(not unknown, f"unknown settings of a reader: {', '.join(unknown)}")
        names = {field.name for field in fields(WindowOptions)}
        windows = WindowOptions(**{k: v for k, v in values.items() if k in names})
        decode = DecodeOptions(**{k: v for k, v in values.items() if k not in names})
        require_fits(tokenizer, model.max_length, windows)
        torch_device = resolve_device(device)
        model.to(torch_device).eval()
        collator = Collator(windows.max_seq_length, pads=not model.is_packed)
        number_format = resolve_precision(precision, torch_device)
        return cls(
            Answerer(model, collator, decode, torch_device, number_format),
            tokenizer,
            windows,
            threshold,
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
        from qa.data.tokens import example_blocks

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
        from qa.answerer import blocks
        from qa.data.windows import iterate_windows
        from qa.nbest import null_odds

        # More candidates than usual are looked for if more are asked for.
        n_best_size = max(top_k, self.answerer.options.n_best_size)
        for block in blocks(iterate_windows(examples, self.tokenizer, self.windows)):
            first, last = block[0]["example_index"], block[-1]["example_index"]
            block_examples = examples[first : last + 1]
            for answers in self.answerer.answer_block(block_examples, block, first, n_best_size):
                is_withheld = (
                    self.null_score_diff_threshold is not None
                    and null_odds(answers) > self.null_score_diff_threshold
                )
                yield [] if is_withheld else answers


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


def read_settings(path: Path | None) -> dict[str, float]:
    """The settings saved beside a model; {} if it was made by something else than qa: None."""
    if path is None:
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(values, dict) or any(
        type(value) not in ((int, float) if name == THRESHOLD else (int,))
        for name, value in values.items()
    ):
        raise UserError(f"{path}: must be a JSON object of integers, such as train.py writes")
    unknown = sorted(values.keys() - SETTINGS - {THRESHOLD})
    require(not unknown, f"{path}: unknown settings: {', '.join(unknown)}")
    return values


def make_parser() -> argparse.ArgumentParser:
    """The command line of `python -m qa.predict`."""
    parser = Parser(
        prog="python -m qa.predict", description="Answer questions with a trained reader."
    )
    parser.add_argument("model", help="directory of a trained reader, e.g. runs/korquad/best")
    parser.add_argument("--context", help="the text to read")
    parser.add_argument("--question", help="the question about it")
    parser.add_argument("--data", help="instead: a JSON or JSONL file of questions and contexts")
    parser.add_argument(
        "--nfc",
        action="store_true",
        help="compose decomposed Hangul (NFD) before reading, as train.py --nfc; answers and their"
        " places are still those of the context as it was passed",
    )
    parser.add_argument("--top-k", type=int, default=1, help="answers per question (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON, one line per question")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16 or fp16")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_command(lambda: predict(make_parser().parse_args(arguments)))


def predict(options: argparse.Namespace) -> None:
    """Answer the question, or the file's questions, and print the answers."""
    if is_on_hub(options.model) or names_hub_data(options.data or ""):
        use_caches_if_unreachable()
    examples = _examples(options)
    if not options.nfc and count_decomposed(examples):
        print("note: there is decomposed Hangul (NFD), --nfc composes it", file=sys.stderr)
    reader = Reader.from_pretrained(options.model, options.device, options.precision)
    answered = reader.iterate_answers(examples, top_k=options.top_k, nfc=options.nfc)
    for example, answers in zip(examples, answered, strict=True):
        if options.json:
            found = [asdict(answer) for answer in answers]
            row = {"id": example.id, "question": example.question, "answers": found}
            print(json.dumps(row, ensure_ascii=False))
            continue
        if options.data:
            print(f"{example.id}\t{example.question}")
        for answer in answers:
            place = f"characters {answer.start}-{answer.end}"
            print(f"{answer.text}\t{answer.probability:.3f}\t{place}")
        if not answers:
            print("(no answer)")


def _examples(options: argparse.Namespace) -> list[Example]:
    """What to answer: a file's questions, or the one pair."""
    from qa.data.readers import read_examples

    one_pair = options.context is not None and options.question is not None
    if options.data:
        require(
            options.context is None and options.question is None, "--data or one pair, not both"
        )
        return read_examples(options.data, split="validation", labelled=False)
    require(one_pair, "pass --context and --question, or --data FILE")
    check_text(options.question.strip(), "--question")
    check_text(options.context, "--context")
    return [Example(id="0", question=options.question.strip(), context=options.context)]


if __name__ == "__main__":
    sys.exit(main())
