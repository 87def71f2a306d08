"""Reading examples from files and hub data sets.

Nested SQuAD/KorQuAD JSON, flat JSON and JSONL (`id, context, question, answers`) and hub data sets
(`hub:NAME`) all become the same flat list of `Example`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qa.data.examples import Example, check_characters
from qa.engine.errors import UserError, require
from qa.hub import HUB_PREFIX


def read_examples(source: str, split: str = "train", labelled: bool = True) -> list[Example]:
    """Read the examples of a JSON or JSONL file, or of `hub:NAME` or `hub:NAME:SPLIT`.

    split: the split of a hub data set whose name carries none. labelled: to train or score on;
    otherwise answers are not looked at and a row without id gets its number. Questions are
    stripped. Raises UserError, naming the file and the place, for anything that is not what it
    should be.
    """
    if source.startswith(HUB_PREFIX):
        rows = _hub_rows(source, split)
    else:
        rows = _file_rows(Path(source))
    if not labelled:
        rows = (
            (where, {"id": str(number), **row, "answers": None})
            for number, (where, row) in enumerate(rows)
        )
    examples = [_example(row, where) for where, row in rows]
    require(examples, f"{source}: holds no questions")
    check_examples(examples, source)
    return examples


def require_answers(examples: list[Example], source: str) -> None:
    """Raise UserError if no example can be learned from or scored."""
    require(
        any(example.answers for example in examples),
        f"{source}: no question has an answer; expected answers with text and answer_start",
    )


def check_examples(examples: list[Example], source: str) -> None:
    """Raise UserError for duplicate ids and for answers that are not at their offset."""
    seen: set[str] = set()
    duplicates: list[str] = []
    for example in examples:
        if example.id in seen:
            duplicates.append(example.id)
        seen.add(example.id)
    require(
        not duplicates,
        f"{source}: {len(duplicates)} questions repeat an id that another one has (first:"
        f" {', '.join(duplicates[:3])}); ids must be unique",
    )
    misplaced = [
        e.id
        for e in examples
        for answer, start in zip(e.answers, e.answer_starts, strict=True)
        if not answer.strip() or start < 0 or e.context[start : start + len(answer)] != answer
    ]
    require(
        not misplaced,
        f"{source}: {len(misplaced)} answers do not stand in their context at answer_start (first:"
        f" {', '.join(misplaced[:3])}); mend answer_start, counted in characters from 0",
    )


def _file_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a file, each with a description of its place."""
    require(not os.path.isdir(path), f"{path}: is a directory, not a JSON or JSONL file")
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors put a byte-order mark first
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}); convert it") from error
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if path.suffix == ".jsonl":
        yield from _jsonl_rows(path, text)
        return
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: is not JSON ({error}); JSON lines need the suffix .jsonl"
        ) from error
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]
    require(
        isinstance(content, list),
        f'{path}: is JSON of another shape; expected {{"data": [...]}} as SQuAD has it, or a list'
        " of objects with id, context, question and answers",
    )
    for number, entry in enumerate(content):
        where = f"{path}: entry {number}"
        require(isinstance(entry, dict), f"{where} is not an object")
        if "paragraphs" in entry:
            yield from _article_rows(entry, where)
        else:
            yield where, entry


def _jsonl_rows(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    # Not splitlines: it also splits at U+2028, which JSON strings may hold as it is.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {number} is not JSON ({error})") from error
        require(isinstance(row, dict), f"{path}: line {number} is not an object")
        yield f"{path}: line {number}", row


def _article_rows(article: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Flatten one SQuAD article: title -> paragraphs -> questions."""
    for i, paragraph in enumerate(_list(article, "paragraphs", where)):
        place = f"{where}, paragraph {i}"
        require(isinstance(paragraph, dict), f"{place} is not an object")
        for j, question in enumerate(_list(paragraph, "qas", place)):
            require(isinstance(question, dict), f"{place}, question {j} is not an object")
            row = {"title": article.get("title", ""), "context": paragraph.get("context")}
            yield f"{place}, question {j}", {**row, **question}


def _hub_rows(source: str, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    name, _, named_split = source.removeprefix(HUB_PREFIX).partition(":")
    split = named_split or split
    require(name, f"{source!r}: expected hub:NAME or hub:NAME:SPLIT")
    import datasets  # late: takes a second to import

    try:
        dataset = datasets.load_dataset(name, split=split)
    except ValueError as error:  # datasets' answer to an unknown split or configuration
        raise UserError(f"{source}: {str(error).splitlines()[0]}") from error
    except (OSError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"{source}: the data set cannot be loaded from the hub"
            f" ({type(error).__name__}); check the name and the network, or download it and pass"
            " the path of a SQuAD-style JSON file"
        ) from error
    for number, row in enumerate(dataset):
        yield f"{source}: row {number}", row


def _example(row: dict[str, Any], where: str) -> Example:
    """One Example from a row whose answers come in any of the usual forms."""
    question = _text(row, "question", where).strip()
    require(question, f"{where}: the question is empty")
    context = _text(row, "context", where)
    require(context.strip(), f"{where}: the context is empty")
    example_id = row.get("id")
    require(
        type(example_id) in (str, int) and str(example_id),
        f"{where}: needs an id, a non-empty string",
    )
    check_characters(str(example_id), f"{where}: id")
    answers = [] if row.get("is_impossible") else _answers(row.get("answers"), where)
    title = row.get("title") or ""
    return Example(
        id=str(example_id),
        question=question,
        context=context,
        answers=tuple(text for text, _ in answers),
        answer_starts=tuple(start for _, start in answers),
        title=title if isinstance(title, str) else str(title),
    )


def _answers(value: Any, where: str) -> list[tuple[str, int]]:
    """(text, start) pairs of `[{text, answer_start}]` or `{text: [...], answer_start: [...]}`."""
    if value is None:
        return []
    if isinstance(value, dict):
        texts = _list(value, "text", f"{where}: answers")
        starts = _list(value, "answer_start", f"{where}: answers")
        require(
            len(texts) == len(starts),
            f"{where}: answers has {len(texts)} texts but {len(starts)} values of answer_start",
        )
        pairs = list(zip(texts, starts, strict=True))
    else:
        if not isinstance(value, list) or not all(isinstance(answer, dict) for answer in value):
            raise UserError(
                f"{where}: answers must be a list of objects with text and answer_start"
            )
        pairs = [(answer.get("text"), answer.get("answer_start")) for answer in value]
    for text, start in pairs:
        require(
            isinstance(text, str) and isinstance(start, int) and not isinstance(start, bool),
            f"{where}: an answer needs text, a string, and answer_start, an integer",
        )
    return pairs


def _text(row: dict[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise UserError(f"{where}: {key} must be a string")
    check_characters(value, f"{where}: {key}")
    return value


def _list(row: dict[str, Any], key: str, where: str) -> list[Any]:
    value = row.get(key)
    if not isinstance(value, list):
        raise UserError(f"{where}: {key} must be a list")
    return value
