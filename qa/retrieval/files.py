"""The documents in files and folders: text, Markdown, HTML, JSON lines, and data sets' contexts."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from qa.data.examples import check_characters
from qa.data.formats.archives import ARCHIVE_SUFFIXES, suffix_of, unpacked
from qa.data.formats.files import DATA_SUFFIXES, DataFile, decode
from qa.data.formats.hub import HUB_PREFIX
from qa.engine.errors import UserError, cut, first_few, notice, require
from qa.retrieval.documents import Document
from qa.retrieval.html_pages import charset_of, page_text
from qa.retrieval.records import data_documents
from qa.retrieval.settings import FILE as INDEX
from qa.retrieval.store import FILE as PASSAGES

SHOWN = 3  # of what is passed over
HTML_SUFFIXES = (".html", ".htm", ".xhtml")
MARKDOWN_SUFFIXES = (".md", ".markdown")
TEXT_SUFFIXES = (".txt", *MARKDOWN_SUFFIXES, *HTML_SUFFIXES)
RECORD_SUFFIXES = (*DATA_SUFFIXES, *ARCHIVE_SUFFIXES)
HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)


class Input(NamedTuple):
    """A file, or a data set of the hub, and what names its documents."""

    path: str
    id: str


def find_inputs(names: Sequence[str]) -> list[Input]:
    """Return the files that the names of files, folders and hub data sets stand for.

    In folders, files of other kinds are passed over, with a `Notice`, and so are hidden ones.

    Raises:
        UserError: There is no such file, or two files would have the same name in an index.
    """
    inputs: dict[str, Input] = {}
    others: list[str] = []
    for name in names:
        is_hub = name.startswith(HUB_PREFIX)
        require(is_hub or os.path.exists(name), f"{name}: no such file or folder")
        for path, own in _below(name) if os.path.isdir(name) else [(name, Path(name).name)]:
            found = Input(path, normalize("NFC", readable(name if is_hub else own)))
            if os.path.isdir(name) and not _is_read(path):
                others.append(found.id)
                continue
            other = inputs.setdefault(found.id, found)
            require(
                os.path.abspath(other.path) == os.path.abspath(path),
                f"{other.path} and {path} would both be {found.id!r} in the index; pass the folder"
                " that holds both, or rename one",
            )
    if others:
        notice(f"{len(others):,} files of other kinds are passed over ({first_few(others)})")
    return list(inputs.values())


def readable(name: str) -> str:
    """Return the name of a file as text, though its bytes be those of Korean Windows, or none."""
    content = os.fsencode(name)
    for encoding in ("utf-8", "cp949"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode(errors="backslashreplace")


class PassedOver:
    """Counts the rows that are no documents; of logs there may be millions."""

    def __init__(self) -> None:
        self.number = 0
        self.first: list[str] = []  # what is wrong with the first ones

    def add(self, what: str) -> None:
        """Count a row."""
        self.number += 1
        if self.number <= SHOWN:
            self.first.append(what)


def read_documents(inputs: Sequence[Input]) -> Iterator[Document]:
    """Yield the documents of files; what cannot be read is passed over, with a `Notice`.

    Of several documents with the same id the first one counts.

    Raises:
        UserError: Nothing could be read.
    """
    seen: set[int] = set()  # hashes take less memory than the ids of a million documents
    repeated: list[str] = []
    unread: list[str] = []
    rows = PassedOver()
    for each in inputs:
        try:
            for document in _documents(each, rows.add):
                if hash(document.id) in seen:
                    repeated.append(document.id)
                    continue
                seen.add(hash(document.id))
                yield document
        except UserError as error:
            unread.append(str(error))
        except OSError as error:
            unread.append(f"{each.path}: {error.strerror or error}")
    if repeated:
        notice(
            f"{len(repeated):,} documents are passed over, since one before them has the same id"
            f" ({first_few(repeated)})"
        )
    require(seen or not (unread or rows.first), next(iter([*unread, *rows.first]), ""))
    for line in [*unread[:SHOWN], *rows.first]:
        notice(f"passed over: {line}")
    if rows.number:
        notice(f"{rows.number:,} rows that are no documents were passed over")
    if unread:
        notice(f"{len(unread):,} of {len(inputs):,} files could not be read as a whole")


def _is_read(path: str) -> bool:
    """Return whether a file in a folder is read; a pipe or a device may have no end."""
    is_special = os.path.exists(path) and not os.path.isfile(path)
    return not is_special and suffix_of(path) in (*TEXT_SUFFIXES, *RECORD_SUFFIXES)


def _below(folder: str) -> Iterator[tuple[str, str]]:
    """Yield path and name of each file below a folder, sorted, without hidden ones."""
    for place, folders, files in os.walk(folder, onerror=_tell):
        if PASSAGES in files and INDEX in files:  # an index: often made beside its documents
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                path = Path(place, name)
                yield str(path), path.relative_to(folder).as_posix()


def _tell(error: OSError) -> None:
    """Say which folder cannot be looked into."""
    notice(f"passed over: {error.filename}: {error.strerror}")


def _documents(file: Input, pass_over: Callable[[str], None]) -> Iterator[Document]:
    """Yield the documents of one file; `pass_over` is told of the rows that are none."""
    suffix = suffix_of(file.path)
    if file.path.startswith(HUB_PREFIX) or suffix in RECORD_SUFFIXES:
        yield from data_documents(file.path, file.id, suffix, pass_over)
        return
    content = unpacked(file.path, Path(file.path).read_bytes())
    is_html = suffix in HTML_SUFFIXES
    text = _decoded(file.path, content, charset_of(content) if is_html else None)
    try:
        title, text = page_text(text) if is_html else (_heading(text, suffix), text)
    # Python's parser refuses some declarations so, and characters of thousands of digits.
    except (AssertionError, ValueError) as error:
        raise UserError(f"{file.path}: is no HTML that can be read ({cut(str(error))})") from error
    stem = Path(re.sub(r"\.(gz|bz2|xz)$", "", file.id)).stem
    yield Document(file.id, normalize("NFC", title.strip()) or stem, text)


def _decoded(path: str, content: bytes, charset: str | None) -> str:
    """Return the text of a file; UserError if it is none."""
    try:
        text = content.decode(charset) if charset else decode(DataFile(path, "", content))
    except UnicodeDecodeError:  # it is not what the page says: UTF-8, or else refused
        text = decode(DataFile(path, "", content))
    require("\0" not in text, f"{path}: is binary, no text")
    check_characters(text, path)
    return text


def _heading(text: str, suffix: str) -> str:
    """Return the first heading of a Markdown file; "" without one, or of another file."""
    found = HEADING.search(text) if suffix in MARKDOWN_SUFFIXES else None
    return found[1] if found else ""
