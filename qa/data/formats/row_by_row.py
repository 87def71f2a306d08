"""Questions to answer that need not fit into memory: read again and again, row by row.

JSON lines, also compressed, and Parquet are read so. Of the other formats a file is one value.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import mmap
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from qa.data.examples import Example
from qa.data.formats.archives import UNPACKING_ERRORS, reason_of, suffix_of
from qa.data.formats.checks import check_examples
from qa.data.formats.collect import collect_examples
from qa.data.formats.columnar import columnar_rows
from qa.data.formats.files import DataFile
from qa.data.formats.findings import JOINED, MADE_ID, NUMBERED, CountedFindings, Findings
from qa.data.formats.json_rows import LINE_SUFFIXES, Row, line_rows
from qa.data.formats.kinds import READ, told_suffix
from qa.data.formats.row_to_example import to_example
from qa.data.formats.sources import read_examples
from qa.engine.errors import UserError, require

OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


class Questions:
    """Questions without labels, in the order of the data: what `read_examples` returns.

    They are read once to check and count them, and again whenever they are iterated over. What is
    held of each is 8 bytes, and of those whose id stands twice the whole.

    Args:
        source: As `read_examples` takes it.
        rows: Yields the rows of the source, for one that is read row by row; None: all is read.

    Raises:
        UserError: As `read_examples` does.
    """

    def __init__(self, source: str, rows: Callable[[], Iterator[Row]] | None) -> None:
        self.source, self._rows = source, rows
        self._examples: list[Example] = []
        self._repeated: set[int] = set()  # hashes of the ids that stand twice
        digest = hashlib.blake2b(digest_size=16)
        if rows is None:
            self._examples = read_examples(source, split="validation", labelled=False)
            for example in self._examples:
                digest.update(as_bytes(example))
            self.total = len(self._examples)
        else:
            self.total = self._check(rows, digest)
        self.fingerprint = digest.hexdigest()

    def __iter__(self) -> Iterator[Example]:
        if self._rows is None:
            yield from self._examples
            return
        number = 0
        for example in self._read(self._rows):
            number += 1
            yield example
        require(number == self.total, f"{self.source}: changed while it was read; start again")

    def _check(self, rows: Callable[[], Iterator[Row]], digest: Any) -> int:
        """Read all rows, say what was decided about them; return how many questions they are."""
        findings = CountedFindings(self.source)
        hashes = array("Q")
        for where, row in rows():
            example = to_example(row, where, False, findings)
            digest.update(as_bytes(example))
            hashes.append(hash_of(example.id))
        require(hashes, f"{self.source}: holds no questions")
        findings.give()
        ordered = np.sort(np.frombuffer(hashes, dtype=np.uint64))
        self._repeated = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
        if not self._repeated:
            return len(hashes)
        # All rows of these questions together: which are one, which get a number, which are wrong.
        again = Findings(self.source)
        same = (
            (where, row)
            for where, row in rows()
            if hash_of(to_example(row, where, False, Findings("")).id) in self._repeated
        )
        self._examples = collect_examples(same, labelled=False, nfc=False, findings=again)
        check_examples(self._examples, self.source)
        again.ids = {kind: again.ids.get(kind, []) for kind in (JOINED, NUMBERED)}
        again.give()
        return len(hashes) - len(again.ids[JOINED])

    def _read(self, rows: Callable[[], Iterator[Row]]) -> Iterator[Example]:
        """Yield the questions; of rows that are one question only the first."""
        collected, seen = iter(self._examples), set[tuple[str, str, str]]()
        for where, row in rows():
            findings = Findings("")
            example = to_example(row, where, False, findings)
            if hash_of(example.id) in self._repeated:
                key = (example.id, example.question, example.context)
                if key in seen and MADE_ID not in findings.ids:
                    continue
                seen.add(key)
                example = next(collected)
            yield example


def open_questions(source: str) -> Questions:
    """Return the questions of a source, read row by row if its format and its name allow it."""
    path = Path(source)
    suffix = suffix_of(path.name)
    if path.is_file() and suffix == ".parquet" and is_parquet(path):
        return Questions(source, lambda: parquet_rows(path))
    if path.is_file() and suffix in LINE_SUFFIXES and has_lines(path):
        return Questions(source, lambda: _rows_of_lines(path))
    return Questions(source, None)


def is_parquet(path: Path) -> bool:
    """Return whether a file is Parquet by its first bytes, whatever its name says."""
    with path.open("rb") as file:
        return READ.get(file.read(4)) == ".parquet"


def has_lines(path: Path) -> bool:
    """Return whether the first line is a JSON value in UTF-8, as in each file of JSON lines."""
    try:
        with _open(path) as file:
            line = file.readline()
            told_suffix(path.name, suffix_of(path.name), line[:512])
        return json.detect_encoding(line).startswith("utf-8") and json.loads(line) is not None
    except (*UNPACKING_ERRORS, OSError, UserError, ValueError, RecursionError):
        return False  # reading the whole file tells what is wrong, if anything is


def parquet_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file, of which the system keeps in memory what it likes."""
    with path.open("rb") as file:
        # Closed by itself, when nothing of it is in use any more.
        content: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    yield from columnar_rows(DataFile(str(path), ".parquet", content), False)


def _rows_of_lines(path: Path) -> Iterator[Row]:
    """Yield the rows of JSON lines."""
    with _open(path) as file:
        yield from line_rows(str(path), _decoded(str(path), file), "validation")


def _decoded(name: str, lines: IO[bytes]) -> Iterator[str]:
    """Yield the lines as text; UserError, naming the line, if that is impossible."""
    number = 0
    try:
        for line in lines:
            number += 1
            yield line.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: line {number} is not UTF-8 text; convert it to UTF-8") from error
    except UNPACKING_ERRORS as error:
        raise UserError(f"{name}: is not a whole compressed file ({reason_of(error)})") from error


def _open(path: Path) -> IO[bytes]:
    """Open a file, decompressed if its name says that it is compressed."""
    opened: IO[bytes] = OPENERS.get(path.suffix.lower(), partial(open, mode="rb"))(path)
    return opened


def as_bytes(example: Example) -> bytes:
    """Return what an example asks, for a fingerprint."""
    return json.dumps([example.id, example.question, example.context]).encode()


def hash_of(text: str) -> int:
    """Return 64 bits of a text's hash, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
