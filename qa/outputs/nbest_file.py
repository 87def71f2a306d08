"""Reading n-best files question by question: files of any size, questions in any order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from qa.answering.nbest import NOTHING_FOUND, Answer
from qa.data.examples import check_characters
from qa.engine.errors import UserError, require
from qa.engine.json_files import kind_of
from qa.outputs.prediction_files import NBEST_FILE

ANSWER_NAMES = {field.name for field in fields(Answer)}


def nbest_path(name: str) -> Path:
    """Return the n-best file in the directory `name`, or `name` itself if it is no directory."""
    path = Path(name)
    if path.is_dir():
        path /= NBEST_FILE
        require(
            path.is_file(),
            f"{name}: holds no {NBEST_FILE}; pass a directory that train.py or qa evaluate wrote,"
            " or the file itself",
        )
    return path


@contextmanager
def open_nbest(path: Path) -> Iterator[NbestFile]:
    """Open an n-best file; UserError, naming file and line, if it is none."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        yield NbestFile(path, file)


class NbestFile:
    """The answers to each question of an `nbest_predictions.json`.

    The whole file is read and checked once, and a question's line again for its answers, so that
    memory holds only ids and positions in the file. Each question must be on a line of its own, as
    `PredictionFiles` writes it.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self.line_starts = self._scan()  # id -> byte in the file, in the order of the file

    def answers(self, example_id: str) -> list[Answer]:
        """Return a question's answers in the order of the file, best first."""
        self._file.seek(self.line_starts[example_id])
        _, answers = self._parse(self._file.readline())
        return [Answer(**answer) for answer in answers]

    def _scan(self) -> dict[str, int]:
        """Check every line, and return where the line of each question starts."""
        line_starts: dict[str, int] = {}
        line = self._file.readline()
        start = len(line)
        if line.strip() == b"{}":
            return line_starts
        require(line.strip() == b"{", self._expected(1))
        for number, line in enumerate(self._file, start=2):
            if line.strip() == b"}":
                require(not self._file.read().strip(), self._expected(number + 1))
                return line_starts
            try:
                example_id, answers = self._parse(line)
            except (ValueError, RecursionError) as error:
                raise UserError(self._expected(number)) from error
            where = f"{self.path}: line {number}"
            require(example_id not in line_starts, f"{where}: {example_id!r} is there twice")
            check_answers(answers, f"{where}: {example_id!r}")
            check_characters(example_id, f"{where}: the id")
            line_starts[example_id] = start
            start += len(line)
        raise UserError(f"{self.path}: has no }} at its end; it was cut off, so write it again")

    def _parse(self, line: bytes) -> tuple[str, Any]:
        """Return a line's id and value; ValueError if the line is not `"id": value`."""
        members = json.loads("{" + line.decode().strip().removesuffix(",") + "}")
        ((example_id, answers),) = members.items()
        return example_id, answers

    def _expected(self, number: int) -> str:
        """Return the message for line `number` of a file that is no n-best file."""
        return (
            f"{self.path}: line {number} is not as train.py and qa evaluate write {NBEST_FILE}:"
            " { and } on lines of their own, one question with its answers a line between them"
        )


def check_answers(answers: Any, where: str) -> None:
    """Raise UserError, which begins with `where`, unless these are a question's answers in JSON."""
    if not isinstance(answers, list):
        raise UserError(
            f"{where} has {kind_of(answers)} instead of a list of answers; pass {NBEST_FILE}"
        )
    for number, answer in enumerate(answers, start=1):
        require(
            is_answer(answer),
            f"{where}: answer {number} is not a text with start, end, score and a probability from"
            f" 0 to 1; pass {NBEST_FILE} as train.py and qa evaluate write it",
        )
        check_characters(answer["text"], f"{where}: answer {number}")


def is_answer(value: Any) -> bool:
    """Return whether a JSON value has the fields of an `Answer`, and no others."""
    return (
        isinstance(value, dict)
        and value.keys() == ANSWER_NAMES
        and isinstance(value["text"], str)
        and type(value["start"]) is type(value["end"]) is int
        and type(value["score"]) in (int, float)
        and abs(value["score"]) <= NOTHING_FOUND
        and type(value["probability"]) in (int, float)
        and 0 <= value["probability"] <= 1
    )
