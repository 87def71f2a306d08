"""The data files behind a path: one file, a .gz of it, a folder or a .zip; as bytes or as text."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from qa.engine.errors import UserError, first_few, require, shown

TEXT_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")
DATA_SUFFIXES = (*TEXT_SUFFIXES, ".parquet", ".xlsx")
UNPACKING_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,  # of zipfile: needs a password, or (NotImplementedError) an unknown compression
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class DataFile:
    """One file, unpacked."""

    name: str  # for messages
    suffix: str  # in lower case, and the one before .gz
    content: bytes


def open_files(path: Path) -> Iterator[DataFile]:
    """Yield the data files of a file, a folder or a .zip, sorted by name, one in memory at a time.

    In folders and archives, files without the suffix of a data file are skipped, and so are hidden
    files and those that macOS adds. A single file is read whatever its suffix.
    """
    if os.path.isdir(path):
        kinds = (*DATA_SUFFIXES, ".zip")
        found = [file for file in _files_below(path) if _suffix(file.name) in kinds]
        require(found, f"{path}: is a directory without data files ({', '.join(kinds)})")
        for file in found:
            yield from open_files(file)
    elif path.suffix.lower() == ".zip":
        yield from _members(path)
    else:
        yield _unpacked(str(path), _read(path), _suffix(path.name))


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


def _advice(content: bytes) -> str:
    """Say how to convert text that is not in UTF-8."""
    try:
        content.decode("cp949")
    except UnicodeDecodeError:
        return "convert it to UTF-8"
    return "it may be CP949 (Korean Windows): iconv -f CP949 -t UTF-8 OLD > NEW converts it"


def _suffix(name: str) -> str:
    """Return the suffix of a name in lower case, of `a.json.gz` the .json."""
    name = name.lower()
    return PurePosixPath(name.removesuffix(".gz")).suffix


def _files_below(folder: Path) -> list[Path]:
    """Return all files under a folder, sorted, but no hidden ones and none in hidden folders."""
    found = []
    for directory, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [Path(directory, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _read(path: Path) -> bytes:
    """Return the content of a file; UserError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _unpacked(name: str, content: bytes, suffix: str) -> DataFile:
    """Return the file, decompressed if its name ends in .gz."""
    if name.lower().endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except UNPACKING_ERRORS as error:
            raise UserError(f"{name}: is not a whole gzip file ({_reason(error)})") from error
    return DataFile(name, suffix, content)


def _members(path: Path) -> Iterator[DataFile]:
    """Yield the data files of an archive, sorted by name."""
    require(path.exists(), f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/")]
            found = sorted(n for n in names if _suffix(n) in DATA_SUFFIXES and not _is_hidden(n))
            kinds = ", ".join(DATA_SUFFIXES)
            require(found, f"{path}: holds no data files ({kinds}), only {first_few(names)}")
            for name in found:
                yield _unpacked(f"{path}/{shown(name)}", archive.read(name), _suffix(name))
    except UserError:
        raise
    except UNPACKING_ERRORS as error:
        raise UserError(f"{path}: is not a zip file that can be read ({_reason(error)})") from error


def _is_hidden(name: str) -> bool:
    """Return whether a member of an archive is hidden, or one that macOS adds to archives."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _reason(error: BaseException) -> str:
    """Return the start of an error's message on one line, or its type if it has none."""
    return " ".join(str(error).split())[:160] or type(error).__name__
