"""Reading n-best files question by question: files of any size, questions in any order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from qa.answering.nbest import NOTHING_FOUND, OUTSIDE, Answer
from qa.data.examples import check_characters
from qa.engine.errors import UserError, require
from qa.engine.json_files import kind_of
from qa.outputs.prediction_files import NBEST_FILE


class Candidate(NamedTuple):
    """The fields of an `Answer`, made in a third of the time: a file may hold 100,000."""

    text: str
    start: int
    end: int
    score: float
    probability: float


NAMES, NUMBERS = set(Candidate._fields), (int, float)
values_of = itemgetter(*Candidate._fields)


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
        return [Answer(*each) for each in parse_answers(answers, str(self.path))]

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
            parse_answers(answers, f"{where}: {example_id!r}")
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


def parse_answers(answers: Any, where: str) -> list[Candidate]:
    """Return a question's answers, read from JSON; UserError, beginning with `where`, if unfit."""
    if not isinstance(answers, list):
        raise UserError(
            f"{where} has {kind_of(answers)} instead of a list of answers; pass {NBEST_FILE}"
        )
    found: list[Candidate] = []
    for answer in answers:
        candidate = parse_answer(answer)
        if candidate is None:  # no `require`: its message takes longer than all else
            raise UserError(
                f"{where}: answer {len(found) + 1} is not a text with start, end, score and a"
                f" probability from 0 to 1; pass {NBEST_FILE} as train.py and qa evaluate write it"
            )
        found.append(candidate)
    try:
        check_characters("".join([each.text for each in found]), where)
    except UserError:
        for number, each in enumerate(found, start=1):
            check_characters(each.text, f"{where}: answer {number}")
        raise
    return found


def parse_answer(value: Any) -> Candidate | None:
    """Return an answer in JSON; None unless it has the fields of an `Answer`, and no others."""
    if not isinstance(value, dict) or value.keys() != NAMES:
        return None
    text, start, end, score, probability = values = values_of(value)
    is_sound = (
        isinstance(text, str)
        and type(start) is type(end) is int
        and (0 <= start <= end or (start, end) == OUTSIDE)
        and type(score) in NUMBERS
        and abs(score) <= NOTHING_FOUND
        and type(probability) in NUMBERS
        and 0 <= probability <= 1
    )
    return Candidate._make(values) if is_sound else None
