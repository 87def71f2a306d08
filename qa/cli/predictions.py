"""Where the answers of `qa predict` go: printed, or into a file, while they are found."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from qa.answering.reader import Reader
from qa.answering.streaming import Answered
from qa.data.examples import Example
from qa.data.formats.row_by_row import Questions
from qa.data.windows.cache import windows_fingerprint
from qa.engine.distributed import World, join_world
from qa.engine.errors import RunStopped, UserError
from qa.engine.progress import progress_bar
from qa.models.onnx_reader import OnnxReader
from qa.outputs.answers_file import answer_line, write_answers
from qa.outputs.partial_lines import PartialLines

REFUSED = -1  # instead of the question to start with


def answer_questions(
    reader: Reader, questions: Questions | list[Example], options: argparse.Namespace
) -> None:
    """Print or write the answers, in the main process; each process answers its share."""
    world = join_world(reader.answerer.device)
    path = None if options.output is None else Path(options.output)
    if isinstance(questions, Questions) and path is not None and path.suffix.lower() == ".jsonl":
        _write_lines(reader, questions, path, options, world)
    else:
        total = questions.total if isinstance(questions, Questions) else len(questions)
        blocks = _answered(reader, questions, options, world)
        if not world.is_main:
            for _ in blocks:
                pass
        elif path is None:
            _print_answers(blocks, options)
        else:
            with progress_bar(total, unit="question") as bar:
                pairs = chain.from_iterable(_counted(blocks, bar))
                unanswered = write_answers(path, pairs)
            _tell(total, unanswered, path)
    world.leave()


def _write_lines(
    reader: Reader,
    questions: Questions,
    path: Path,
    options: argparse.Namespace,
    world: World,
) -> None:
    """Write JSON lines that another run can go on with."""
    if not world.is_main:
        start = world.from_main(0)
        if start == REFUSED:
            raise RunStopped("", exit_code=2)
        rest = islice(questions, start, None)
        for _ in _answered(reader, rest, options, world):
            pass
        return
    identity = _identity(reader, questions, options)
    try:
        partial = PartialLines(path, identity, options.resume, options.overwrite)
    except UserError:
        world.from_main(REFUSED)
        raise
    with partial as lines:
        start = world.from_main(lines.done.questions)
        rest = islice(questions, start, None)
        blocks = _answered(reader, rest, options, world)
        with progress_bar(questions.total, start, unit="question") as bar:
            for block in _counted(blocks, bar):
                unanswered = sum(not answers for _, answers in block)
                lines.add([answer_line(*pair) for pair in block], unanswered)
        lines.finish()
        _tell(questions.total, lines.done.unanswered, path)


def _answered(
    reader: Reader, questions: Iterable[Example], options: argparse.Namespace, world: World
) -> Iterator[Answered]:
    """Yield the answered questions in blocks, in the main process."""
    return reader.stream_answers(questions, top_k=options.top_k, nfc=options.nfc, world=world)


def _identity(reader: Reader, questions: Questions, options: argparse.Namespace) -> dict[str, Any]:
    """Return what decides the lines, by the words of a message."""
    decoding = asdict(reader.answerer.options)
    if decoding["decoding"] is None:  # files from before there was a choice go on
        del decoding["decoding"]
    return {
        "data": questions.fingerprint,
        "model": _digest(reader.answerer.model),
        "tokenizer or window options": windows_fingerprint([], reader.tokenizer, reader.windows),
        "decoding option": decoding,
        "batch size": reader.answerer.batch_size,
        "threshold": reader.null_score_diff_threshold,
        "precision": reader.answerer.precision.name,
        "--top-k": options.top_k,
        "--nfc": options.nfc,
    }


def _digest(model: torch.nn.Module) -> str:
    """Return a fingerprint of the weights."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(model, OnnxReader):  # torch knows of no weights in it
        digest.update(model.file.read_bytes())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _print_answers(blocks: Iterable[Answered], options: argparse.Namespace) -> None:
    """Print each question's answers, as JSON if --json asks for it."""
    for example, answers in chain.from_iterable(blocks):
        if options.json:
            print(answer_line(example, answers))
            continue
        if options.data:
            print(f"{example.id}\t{example.question}")
        for answer in answers:
            span = f"characters {answer.start}-{answer.end}"
            if answer.start < 0:
                span = "not in the context"
            print(f"{answer.text}\t{answer.probability:.3f}\t{span}")
        if not answers:
            print("(no answer)")


def _counted(blocks: Iterable[Answered], bar: Any) -> Iterator[Answered]:
    """Yield the blocks, and count the questions of each on the bar."""
    for block in blocks:
        yield block
        bar.update(len(block))


def _tell(total: int, unanswered: int, path: Path) -> None:
    """Say what was written."""
    print(f"{total} questions, {unanswered} left unanswered")
    print(f"output: {path}")
