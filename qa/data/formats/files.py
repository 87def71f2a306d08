"""The data files behind a path: one file, a .gz of it, a folder or a .zip, as bytes and as text."""

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
DATA_SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
UNPACKING_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,  # zipfile's answer to a password, and, as NotImplementedError, to odd methods
    ValueError,
    struct.error,
)


@dataclass(frozen=True)
class DataFile:
    """One file's content. suffix: in lower case, without .gz."""

    name: str
    suffix: str
    content: bytes


def open_files(path: Path) -> Iterator[DataFile]:
    """Yield the data files of a file, a folder or a .zip, by name, one in memory at a time.

    In folders and archives everything that is no data file by its suffix is passed over, and so
    are hidden files and what macOS adds; a single file without a known suffix counts as JSON.
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
    """The text of a file in UTF-8, -16 or -32, without a byte-order mark; else UserError."""
    encoding = json.detect_encoding(file.content)  # by the mark, or by where the zero bytes are
    try:
        return file.content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.upper().removesuffix("-SIG")
        raise UserError(
            f"{file.name}: is not {name} text (byte {error.start}); {_advice(file.content)}"
        ) from error


def _advice(content: bytes) -> str:
    try:
        content.decode("cp949")
    except UnicodeDecodeError:
        return "convert it to UTF-8"
    return "it may be CP949 (Korean Windows): iconv -f CP949 -t UTF-8 OLD > NEW converts it"


def _suffix(name: str) -> str:
    name = name.lower()
    return PurePosixPath(name.removesuffix(".gz")).suffix


def _files_below(folder: Path) -> list[Path]:
    """Every file under a folder, sorted, but no hidden one and none in a hidden folder."""
    found = []
    for directory, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [Path(directory, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _unpacked(name: str, content: bytes, suffix: str) -> DataFile:
    if name.lower().endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except UNPACKING_ERRORS as error:
            raise UserError(f"{name}: is not a whole gzip file ({_reason(error)})") from error
    return DataFile(name, suffix, content)


def _members(path: Path) -> Iterator[DataFile]:
    """The data files of an archive."""
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
    """Whether a member of an archive is hidden, or what macOS adds to an archive."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
