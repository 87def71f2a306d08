"""The data files behind a path: one file, a folder or an archive; as bytes or as text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

from qa.data.formats.archives import (
    ARCHIVE_SUFFIXES,
    Members,
    open_archive,
    suffix_of,
    unpacked,
)
from qa.data.formats.kinds import told_suffix
from qa.data.formats.saved import saved_only
from qa.data.formats.splits import choose
from qa.engine.errors import UserError, first_few, notice, require, shown

TEXT_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
DATA_SUFFIXES = (*TEXT_SUFFIXES, ".parquet", ".arrow", ".xlsx")
MAY_HOLD_DATA = (
    *(".txt", ".xls", ".xlsm", ".xlsb", ".ods", ".hwp", ".hwpx", ".feather", ".pkl", ".xml"),
    *(".7z", ".rar", ".zst", ".db", ".sqlite", *ARCHIVE_SUFFIXES),
)
"""Suffixes of files that are not read in folders and archives, which a person should know"""


@dataclass(frozen=True)
class DataFile:
    """One file, unpacked."""

    name: str  # for messages
    suffix: str  # in lower case, and the one before .gz
    content: bytes


def open_files(path: Path, split: str = "train", is_named: bool = False) -> Iterator[DataFile]:
    """Yield the data files of a file, a folder or an archive, one in memory at a time.

    In folders and archives, files without the suffix of a data file are skipped, and so are hidden
    files and those that macOS adds; the others are sorted by name, and if their names tell splits,
    `splits.choose` says which are read. An archive may hold archives, but these no others. A single
    file is read whatever its name.

    Args:
        path: May end in .gz, .bz2 or .xz.
        split: `train`, `validation` or `test`.
        is_named: Whether somebody asked for this split by its name.
    """
    if os.path.isdir(path):
        members: Members = _names_below(path), lambda name: _read(path / name)
        found = _data_files(members, str(path), (*DATA_SUFFIXES, *ARCHIVE_SUFFIXES))
        for name in choose(found, str(path), split, is_named):
            yield from open_files(path / name, split)
    elif is_archive(path):
        with _open(path) as file:
            suffixes = (*DATA_SUFFIXES, *ARCHIVE_SUFFIXES)
            yield from _archived(str(path), file, suffixes, split, is_named)
    else:
        yield _opened(str(path), path.name, _read(path))


def is_archive(path: Path) -> bool:
    """Return whether the name of a file is that of an archive."""
    return suffix_of(path.name) in ARCHIVE_SUFFIXES


def decode(file: DataFile) -> str:
    """Return the text of a file in UTF-8, -16 or -32, without its byte-order mark.

    Raises UserError for text in another encoding.
    """
    encoding = json.detect_encoding(file.content)  # by the mark, or by where the zero bytes are
    try:
        return file.content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.upper().removesuffix("-SIG")
        raise UserError(
            f"{file.name}: is not {name} text (byte {error.start}); {_advice(file.content)}"
        ) from error


def _archived(
    path: str,
    file: BinaryIO,
    suffixes: Sequence[str],
    split: str,
    is_named: bool,
) -> Iterator[DataFile]:
    """Yield the data files with one of these suffixes in an archive, and in the archives in it."""
    with open_archive(path, file) as (names, read):
        members = sorted(name for name in names if not _is_hidden(name)), read
        for name in choose(_data_files(members, path, suffixes), path, split, is_named):
            inner = f"{path}/{shown(name)}"
            if suffix_of(name) in ARCHIVE_SUFFIXES:
                yield from _archived(inner, BytesIO(read(name)), DATA_SUFFIXES, split, False)
            else:
                yield _opened(inner, name, read(name))


def _advice(content: bytes) -> str:
    """Say what to do with a file that is not in UTF-8."""
    if b"\0" in content:
        return (
            "save it as UTF-8, if it is UTF-16 or UTF-32 without a byte-order mark; if it is no"
            " text at all, save its data as JSON, CSV or Parquet"
        )
    try:
        content.decode("cp949")
    except UnicodeDecodeError:
        return "convert it to UTF-8"
    return "it may be CP949 (Korean Windows): iconv -f CP949 -t UTF-8 OLD > NEW converts it"


def _opened(shown_name: str, name: str, content: bytes) -> DataFile:
    """Return the file as its content says what it is, or else its name."""
    suffix = suffix_of(name)
    told_suffix(shown_name, suffix, content)  # a page of HTML is no damaged .gz, whatever its name
    content = unpacked(shown_name, content)
    return DataFile(shown_name, told_suffix(shown_name, suffix, content), content)


def _data_files(members: Members, path: str, suffixes: Sequence[str]) -> list[str]:
    """Return the names of the data files; UserError if there is none."""
    names = saved_only(members, path)
    found = [name for name in names if suffix_of(name) in suffixes]
    what = "is a directory without" if os.path.isdir(path) else "holds no"
    kinds = ", ".join(suffixes)
    require(found, f"{path}: {what} data files ({kinds}); found {first_few(members[0])}")
    skipped = [n for n in names if n not in found and suffix_of(n) in MAY_HOLD_DATA]
    if skipped:
        notice(
            f"{path}: {len(skipped):,} files that may hold data are passed over ("
            f"{first_few(skipped)}); in a folder or archive their suffixes are not read"
        )
    return found


def _names_below(folder: Path) -> list[str]:
    """Return all files under a folder, sorted, but no hidden ones and none in hidden folders.

    Links to folders are followed, unless they lead to a folder that was seen before.
    """
    found, seen = [], {os.path.realpath(folder)}
    for directory, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        below = {os.path.realpath(Path(directory, name)): name for name in sorted(folders)[::-1]}
        folders[:] = [
            name
            for real, name in below.items()
            if not name.startswith((".", "__MACOSX")) and real not in seen
        ]
        seen.update(below)
        found += [Path(directory, name) for name in names if not name.startswith(".")]
    return [file.relative_to(folder).as_posix() for file in sorted(found)]


def _open(path: Path) -> BinaryIO:
    """Open a file; UserError if it cannot be opened."""
    try:
        return open(path, "rb")
    except OSError as error:
        _refuse(error, path)


def _read(path: Path) -> bytes:
    """Return the content of a file; UserError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        _refuse(error, path)


def _refuse(error: OSError, path: Path | None = None) -> NoReturn:
    """Raise the UserError of a file or folder that cannot be read."""
    name = path or error.filename
    if isinstance(error, FileNotFoundError):
        raise UserError(f"{name}: no such file") from error
    raise UserError(f"{name}: cannot be read ({error.strerror})") from error


def _is_hidden(name: str) -> bool:
    """Return whether a member of an archive is hidden, or one that macOS adds to archives."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
