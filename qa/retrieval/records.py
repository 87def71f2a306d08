"""The documents in records: JSON lines of texts, and the contexts of question-answering data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any
from unicodedata import normalize

from qa.data.examples import Example, check_characters
from qa.data.formats import read_examples
from qa.data.formats.annotations import is_task
from qa.data.formats.files import decode, open_files
from qa.data.formats.json_mistakes import reason_of
from qa.data.formats.json_rows import (
    LINE_SUFFIXES,
    NESTED,
    Row,
    follows_a_line,
    json_lines,
)
from qa.data.formats.json_shapes import entries_of
from qa.data.formats.names import by_field
from qa.data.formats.row_to_example import read_id
from qa.engine.errors import UserError, require
from qa.retrieval.documents import Document

SPLIT = "train"  # of a file, folder or hub data set with several; NAME:validation reads another


def data_documents(
    path: str, name: str, suffix: str, pass_over: Callable[[str], None]
) -> Iterator[Document]:
    """Yield the documents of a file, or of a data set of the hub.

    Rows without a question are documents; otherwise the contexts are, each once, and each is one
    passage as it is. Of articles in JSON that is every paragraph, asked about or not.

    Args:
        path: Of the file; `hub:NAME` for a data set.
        name: Of the file in the index.
        suffix: Of the path; "" if there is none.
        pass_over: Is told of each row of texts, or paragraph of an article, that is none.
    """
    if suffix in (".json", *LINE_SUFFIXES):
        rows = _rows(path, pass_over)
        try:
            first = next(rows, None)
        except UserError as error:
            examples = _examples(path, error)
        else:
            if first is not None and not has_question(first[1]):
                yield from _of_rows(chain([first], rows), name, pass_over)
                return
            examples = _examples(path)
    else:
        examples = _examples(path)
    titles: dict[str, str] = {}
    for example in examples:
        titles.setdefault(example.context, example.title)
    for context, title in titles.items():
        yield _passage(title, context, name)


def _examples(path: str, reason: UserError | None = None) -> list[Example]:
    """Read question-answering data; `reason`: why it holds no texts, if it is neither."""
    try:
        return read_examples(path, SPLIT, labelled=False)
    except UserError:
        if reason is not None:
            raise reason from None
        raise


def has_question(row: dict[str, Any]) -> bool:
    """Return whether a row is of question-answering data, and not a text."""
    return "question" in by_field(row) or ("data" in row and is_task(row))


def _of_rows(
    rows: Iterator[Row], name: str, pass_over: Callable[[str], None]
) -> Iterator[Document]:
    """Yield the documents of texts, and the paragraphs of articles."""
    seen: set[str] = set()  # contexts
    for where, row in rows:
        is_article = any(key in row for key in NESTED)
        title = str(by_field(row).get("title") or "")
        make = partial(_paragraph, title) if is_article else _document
        parts = row.get("paragraphs", row)
        for part in parts if isinstance(parts, list) else [parts]:
            try:
                document = make(part, where, name)
            except UserError as error:
                pass_over(str(error))
                continue
            if not (is_article and document.text in seen):
                yield document
            if is_article:
                seen.add(document.text)


def _paragraph(title: str, paragraph: Any, where: str, name: str) -> Document:
    """Return the document of an article's paragraph; UserError, naming `where`, if it is none."""
    require(isinstance(paragraph, dict), f"{where}: a paragraph is not an object")
    fields = by_field(paragraph)
    title = str(fields.get("title") or title)
    check_characters(title, f"{where}: title")
    return _passage(title, _checked(fields.get("context"), where), name)


def _passage(title: str, text: str, name: str) -> Document:
    """Return a document that is one passage."""
    return Document(_made_id(name, text), normalize("NFC", title), text, is_passage=True)


def _rows(path: str, pass_over: Callable[[str], None]) -> Iterator[Row]:
    """Yield the objects of a JSON file; of JSON lines without reading the whole file at once."""
    if Path(path).suffix.lower() in LINE_SUFFIXES:
        yield from _lines(path, pass_over)
        return
    for file in open_files(Path(path)):
        text = decode(file)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            if file.suffix not in LINE_SUFFIXES and not follows_a_line(error, text):
                raise UserError(f"{file.name}: is not JSON ({reason_of(error, text)})") from error
            yield from _objects(text.split("\n"), file.name, pass_over)
        else:
            yield from entries_of(content, file.name, SPLIT, pass_over=pass_over)


def _lines(path: str, pass_over: Callable[[str], None]) -> Iterator[Row]:
    """Yield the objects of JSON lines, without MRQA's header."""
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as lines:
            yield from _objects(lines, path, pass_over)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text; convert it") from error


def _objects(lines: Iterable[str], name: str, pass_over: Callable[[str], None]) -> Iterator[Row]:
    """Yield the objects on the lines of a file of this name; UserError if the first is a list."""
    for number, (where, row) in enumerate(json_lines(name, lines, pass_over=pass_over)):
        if isinstance(row, dict):
            yield where, row
            continue
        require(number or not isinstance(row, list), f"{where} is not an object")
        pass_over(f"{where} is not an object")


def _document(row: dict[str, Any], where: str, name: str) -> Document:
    """Return the document of a row; UserError, naming `where`, if it is none."""
    fields = by_field(row)
    text = _checked(row["contents"] if "contents" in row else fields.get("context"), where)
    given = read_id(fields.get("id"), where)
    own = normalize("NFC", given.strip()) or _made_id(name, text)
    title = normalize("NFC", str(fields.get("title") or ""))
    for each in (own, title):
        check_characters(each, where)
    return Document(own, title, text)


def _checked(text: Any, where: str) -> str:
    """Return a text; UserError, naming `where`, if it is none."""
    require(isinstance(text, str), f"{where}: text, context or contents must be there, and a text")
    check_characters(text, where)
    return str(text)


def _made_id(name: str, text: str) -> str:
    """Return an id that stays the same wherever in its file a text stands."""
    digest = blake2b(text.encode(), digest_size=6).hexdigest()
    return f"{name}#{digest}"
