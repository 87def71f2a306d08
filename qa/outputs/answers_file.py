"""One file of answers to a data set, whose questions need no gold answers; its suffix is its form.

.json: {id: text}, as leaderboards take it; .jsonl: a line of all answers for each question; .csv:
id and prediction.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO, TypeAlias

from qa.answering.nbest import Answer
from qa.data.examples import Example
from qa.engine.atomic_files import replace_file

Answered: TypeAlias = Iterable[tuple[Example, list[Answer]]]
"""Each question and its answers, best first; [] if it is left unanswered."""


def write_answers(path: Path, answered: Answered) -> int:
    """Write the file atomically while answers come; "" is the prediction of an unanswered question.

    The suffix of `path` must be one of `WRITERS`. Returns how many questions are left unanswered.
    """
    with replace_file(path) as file:
        return WRITERS[path.suffix.lower()](file, answered)


def answer_line(example: Example, answers: list[Answer]) -> str:
    """Return a question and its answers as a line of JSON, without a line end."""
    row = {"id": example.id, "question": example.question, "answers": list(map(asdict, answers))}
    return json.dumps(row, ensure_ascii=False)


def _write_object(file: TextIO, answered: Answered) -> int:
    """Write {id: text}, one question a line; returns how many are left unanswered."""
    unanswered, separator = 0, "{\n"
    for example, answers in answered:
        key, text = (json.dumps(t, ensure_ascii=False) for t in (example.id, _text(answers)))
        file.write(f"{separator}{key}: {text}")
        separator = ",\n"
        unanswered += not answers
    file.write("\n}\n" if separator == ",\n" else "{}\n")
    return unanswered


def _write_lines(file: TextIO, answered: Answered) -> int:
    """Write one line of JSON a question; returns how many are left unanswered."""
    unanswered = 0
    for example, answers in answered:
        file.write(answer_line(example, answers) + "\n")
        unanswered += not answers
    return unanswered


def _write_table(file: TextIO, answered: Answered) -> int:
    """Write CSV with a header; returns how many questions are left unanswered."""
    table = csv.writer(file, lineterminator="\n")
    # Which writes a lone "\r" as it is, for others to take for the end of a line.
    quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerow(("id", "prediction"))
    unanswered = 0
    for example, answers in answered:
        row = example.id, _text(answers)
        (quoting if "\r" in "".join(row) else table).writerow(row)
        unanswered += not answers
    return unanswered


def _text(answers: list[Answer]) -> str:
    """Return the prediction."""
    return answers[0].text if answers else ""


WRITERS: dict[str, Callable[[TextIO, Answered], int]] = {
    ".json": _write_object,
    ".jsonl": _write_lines,
    ".csv": _write_table,
}
