"""Gives mutated files to the readers of data: right examples or one line, and nothing else.

    pip install atheris
    python -m benchmarks.fuzz_readers --runs 1000000

Starts from the examples of docs/formats.md. An input is a format's number and a file of it; half of
the mutations change bytes, guided by what the readers ran, and half change one value or cell.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["qa.data"]):
    from qa.data.doctor.mend import mend_examples
    from qa.data.formats.checks import check_examples
    from qa.data.formats.collect import collect_examples
    from qa.data.formats.files import DataFile
    from qa.data.formats.findings import Findings
    from qa.data.formats.json_rows import json_rows
    from qa.data.formats.tables import csv_rows
from qa.engine.errors import UserError

SUFFIXES = (".json", ".jsonl", ".csv", ".tsv")
CONTEXT = "강나루는 1921년에 태어났다."
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 5, 5.0, 10**30, 1.5, float("nan"), float("inf"), "", " ", "5"),
    *("5.0", "1,005", "1921년", "강나루", CONTEXT, "\ud800", "\0", "\u1161", "😀", "Y", "아니오"),
    *("['1921년']", "{'text': array(['a'], dtype=object)}", "[0x" + "f" * 9000 + "]", "[" * 300),
    *([], {}, [[5, 10, "A"]], [{"start": 5, "end": 10}], {"text": [], "answer_start": []}, ["가"]),
    *({"text": "1921년", "answer_start": 5}, {"text": [None], "answer_start": [None]}, [[]], [{}]),
    *("nan", "<NA>", "None", "{'text': ['1921", ", ", "|", "\ufeff"),
    *('"', '""', '"가', '가"', "\t", "\n", "\r\n", ",", ";", '"가\t나\n"', '"a""b"'),
]
NAMES = (
    *("id", "guid", "question_id", "title", "context", "passage", "text", "question", "query"),
    *("answers", "answer", "label", "labels", "entities", "annotations", "data", "train", "test"),
    *("answer_start", "start", "end", "is_impossible", "detected_answers", "qas", "paragraphs"),
    *("columns", "value", "result", "char_spans", "ID", "Answer Start", "answers.text", "\ufeffid"),
    *("번호", "dev", "extra"),
)


def main() -> None:
    """Parse the options and run the fuzzer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for number, sample in enumerate(samples()):
            Path(folder, str(number)).write_bytes(sample)
        flags = [f"-runs={options.runs}", f"-seed={options.seed}", "-max_len=4096"]
        atheris.Setup([sys.argv[0], *flags, folder], read_one, custom_mutator=mutate)
        atheris.Fuzz()


def samples() -> list[bytes]:
    """Return the examples of docs/formats.md as inputs."""
    page = Path(__file__).parent.parent.joinpath("docs", "formats.md").read_text(encoding="utf-8")
    found = re.findall(r"`[\w-]+(\.\w+)`:\n\n```\w*\n(.*?)```", page, re.DOTALL)
    return [bytes([SUFFIXES.index(suffix)]) + text.encode() for suffix, text in found]


def read_one(data: bytes) -> None:
    """Read an input in every way, and check what comes out."""
    if not data:
        return
    file = DataFile("file", SUFFIXES[data[0] % len(SUFFIXES)], data[1:])
    for labelled, nfc in ((True, False), (True, True), (False, False)):
        try:
            read_and_check(file, labelled, nfc)
        except UserError as error:
            message = str(error)
            assert message.startswith("file: "), message
            assert message.isprintable(), message
            assert len(message) < 1500, message


def read_and_check(file: DataFile, labelled: bool, nfc: bool) -> None:
    """Read a file as `read_examples` does, and as the doctor does."""
    findings = Findings("file")
    is_table = file.suffix in (".csv", ".tsv")
    rows = csv_rows(file, labelled) if is_table else json_rows(file, "train")
    examples = collect_examples(rows, labelled, nfc, findings)
    findings.give()
    for example in examples:
        assert example.question == example.question.strip() != ""
        assert example.context.strip()
        json.dumps([example.id, example.context, *example.answers], ensure_ascii=False).encode()
        assert labelled or not example.answers
    check_examples(mend_examples(examples).examples, "file")
    findings.require_places()
    check_examples(examples, "file")
    for example in examples:
        for text, start in zip(example.answers, example.answer_starts, strict=True):
            assert text.strip()
            assert example.context[start : start + len(text)] == text


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Return another input: bytes changed, or one value of the file."""
    chance = random.Random(seed)
    if data and chance.random() < 0.5:
        try:
            changed = change_value(SUFFIXES[data[0] % len(SUFFIXES)], data[1:].decode(), chance)
        except (ValueError, csv.Error, RecursionError):  # the input is no such file any more
            return atheris.Mutate(data, max_size)
        return (data[:1] + changed.encode("utf-8", "surrogatepass"))[:max_size]
    return atheris.Mutate(data, max_size)


def change_value(suffix: str, text: str, chance: random.Random) -> str:
    """Return the text of a file with a value or cell replaced, left out or given another name."""
    if suffix in (".csv", ".tsv"):
        delimiter = "\t" if suffix == ".tsv" else ","
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
        row = chance.choice([row for row in table if row] or [[""]])
        cell = chance.choice([*VALUES, *NAMES])
        row[chance.randrange(len(row))] = cell if isinstance(cell, str) else json.dumps(cell)
        sink = io.StringIO(newline="")
        quoting = chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        csv.writer(sink, delimiter=delimiter, quoting=quoting).writerows(table)
        return sink.getvalue()
    lines = text.splitlines() if suffix == ".jsonl" else [text]
    number = chance.randrange(len(lines))
    value = json.loads(lines[number])
    parent, key = chance.choice(places_in([value], []))
    new = chance.choice([*VALUES, value])
    if isinstance(parent, dict) and chance.random() < 0.3:
        parent[chance.choice(NAMES)] = parent.pop(key)
    elif isinstance(parent, list) and chance.random() < 0.3:
        parent.insert(key, json.loads(json.dumps(parent[key])))
    else:
        parent[key] = json.loads(json.dumps(new))
    lines[number] = json.dumps(value, ensure_ascii=chance.random() < 0.5)
    return "\n".join(lines)


def places_in(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Return (parent, key) of every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append((value, key))
        if isinstance(inner, (dict, list)):
            places_in(inner, found)
    return found


if __name__ == "__main__":
    main()
