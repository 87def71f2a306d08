"""The members of .zip and .tar archives, and files compressed by gzip, bzip2 or xz."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import BinaryIO, TypeAlias

from qa.data.formats.kinds import told_suffix
from qa.engine.errors import UserError, cut

ARCHIVE_SUFFIXES = (".zip", ".tar")
SHORT = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz"}
UNPACKERS: dict[str, tuple[bytes, str, Callable[[bytes], bytes]]] = {
    ".gz": (b"\x1f\x8b", "gzip", gzip.decompress),
    ".bz2": (b"BZh", "bzip2", bz2.decompress),
    ".xz": (b"\xfd7zXZ\0", "xz", lzma.decompress),
}
UNPACKING_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # of zipfile: needs a password, or (NotImplementedError) an unknown compression
    ValueError,
    struct.error,
)

Members: TypeAlias = tuple[Sequence[str], Callable[[str], bytes]]
"""The names of the files in a folder or archive, and a function from a name to its content."""


def suffix_of(name: str) -> str:
    """Return the suffix of a name in lower case, of `a.json.gz` the .json."""
    name = name.lower()
    for short, long in SHORT.items():
        name = name.removesuffix(short) + long * name.endswith(short)
    for suffix in UNPACKERS:
        name = name.removesuffix(suffix)
    return PurePosixPath(name).suffix


@contextmanager
def open_archive(path: str, file: BinaryIO) -> Iterator[Members]:
    """Open a .zip or a .tar, which may be compressed; in the context its files can be read.

    Args:
        path: Names it, for messages; the suffix tells which of them it is.
        file: Its bytes, from the first one on; it can be read at any place.

    Raises:
        UserError: It is another file. What is wrong with a member is raised where it is read.
    """
    kind = suffix_of(path)[1:]
    try:
        told_suffix(path, f".{kind}", file.read(512))
        file.seek(0)
        if kind == "zip":
            with zipfile.ZipFile(file) as archive:
                files = {name_of(each): each for each in archive.infolist() if not each.is_dir()}
                yield list(files), lambda name: archive.read(files[name])
        else:
            with tarfile.open(fileobj=file) as tar:
                members = {m.name.removeprefix("./"): m for m in _whole(tar) if m.isreg()}
                yield list(members), lambda name: _content(tar, members[name])
    except UserError:
        raise
    except UNPACKING_ERRORS as error:
        reason = reason_of(error).partition(": -")[0]  # tarfile lists all that it tried
        raise UserError(f"{path}: is not a {kind} file that can be read ({reason})") from error


def name_of(member: zipfile.ZipInfo) -> str:
    """Return the name of a member of a .zip, which most programs write without its encoding.

    Python reads such a name as CP437. It is UTF-8 of macOS and Linux, or CP949 of Korean Windows.
    """
    name, says_utf8 = member.filename, member.flag_bits & 0x800
    if name.isascii() or says_utf8:
        return name
    for encoding in ("utf-8", "cp949"):
        with suppress(UnicodeError):
            return name.encode("cp437").decode(encoding)
    return name


def unpacked(name: str, content: bytes) -> bytes:
    """Return the content, decompressed if its first bytes or its name say that it is compressed.

    Raises UserError, naming `name`, if it is damaged.
    """
    for suffix, (magic, kind, decompress) in UNPACKERS.items():
        if content.startswith(magic) or name.lower().endswith(suffix):
            try:
                return decompress(content)
            except UNPACKING_ERRORS as error:
                raise UserError(
                    f"{name}: is not a whole {kind} file ({reason_of(error)})"
                ) from error
    return content


def reason_of(error: BaseException) -> str:
    """Return the start of an error's message on one line, or its type if it has none."""
    return cut(str(error)) or type(error).__name__


def _whole(tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    """Return the members; EOFError unless the block of zeros that ends an archive is behind them.

    tarfile itself takes whatever it cannot read there for the end.
    """
    members = tar.getmembers()
    assert tar.fileobj is not None  # of an open archive it never is
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise EOFError("its end is missing")
    return members


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the content of a regular file in a .tar; EOFError if the archive ends before it."""
    file = tar.extractfile(member)
    assert file is not None  # of a regular file it never is
    content = file.read()
    if len(content) < member.size:
        raise EOFError("it ends in the middle of a file")
    return content
