"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import io
import zipfile

from qa.engine.errors import UserError

OLD_OFFICE = "an old Excel or Word file, an HWP file, or one with a password"
AS_TABLE = "save it as CSV (UTF-8), JSON or Parquet"
UNPACK = "unpack it and pass the files"
READ = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"\xff\xff\xff\xff": ".arrow"}
"""First bytes -> the suffix under which the file is read; Arrow has a form as file and as stream"""
REFUSED = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": (OLD_OFFICE, "save it as CSV (UTF-8)"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", UNPACK),
    b"Rar!\x1a\x07": ("a RAR archive", UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "unzstd FILE unpacks it"),
    b"\x04\x22\x4d\x18": ("compressed by lz4", "lz4 -d FILE unpacks it"),
    b"%PDF-": ("a PDF", "questions and answers must be in JSON, CSV or Parquet"),
    b"SQLite format 3\0": ("an SQLite database", "export its table as CSV (UTF-8)"),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", AS_TABLE),
    b"\x93NUMPY": ("a NumPy array", AS_TABLE),
    b"Obj\x01": ("an Avro file", AS_TABLE),
    b"\x00\x05\x16\x07": ("what macOS keeps beside a file", "pass the file without ._ in its name"),
    b"version https://git-lfs": ("the pointer of Git LFS to a file", "git lfs pull fetches it"),
}
TEXT = ("", ".txt", ".tab", ".dat")  # suffixes that do not say what is inside
MARKUP = (b"<!doctype", b"<html", b"<?xml")
ARCHIVED = (  # a member of a .zip -> what the whole is
    ("xl/workbook", "an Excel workbook", "name it .xlsx, or save it as CSV (UTF-8)"),
    ("word/", "a Word document", "questions and answers must be in JSON, CSV or Parquet"),
    ("Contents/content.hpf", "an HWPX document", "save its table as CSV (UTF-8)"),
    ("", "a zip archive", "name it .zip"),
)


def told_suffix(name: str, suffix: str, content: bytes) -> str:
    """Return the suffix that the content should have, which is `suffix` where it does not tell.

    Args:
        name: For messages.
        suffix: That of the name, in lower case.
        content: The whole file, or its beginning.

    Raises:
        UserError: The content is of a kind that is not read.
    """
    for magic, read_as in READ.items():
        if content.startswith(magic):
            return read_as
    found = _refused(content, suffix)
    if found is not None:
        what, advice = found
        raise UserError(f"{name}: is {what}; {advice}")
    # Without the mark and the zero bytes of UTF-16.
    is_json = content[:512].lstrip(b"\xff\xfe\xef\xbb\xbf\0").lstrip()[:1] in (b"{", b"[")
    if suffix in (*TEXT, ".csv", ".tsv") and is_json:
        return ".json"
    return ".csv" if suffix in TEXT and content else suffix


def _refused(content: bytes, suffix: str) -> tuple[str, str] | None:
    """Return what the content is and what to do about it, if it is of a kind that is not read."""
    for magic, found in REFUSED.items():
        if content.startswith(magic):
            return found
    if content[:1] == b"\x80" and content[1:2] in b"\2\3\4\5":
        return "a pickle, which may run any code when it is opened", AS_TABLE
    if content[257:262] == b"ustar" and suffix != ".tar":
        return "a tar archive", "name it .tar, or .tar.gz if it is compressed"
    if content.startswith(b"PK\3\4") and suffix not in (".zip", ".xlsx"):
        return _archived(content)
    if content[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(MARKUP):
        return "a page of HTML or XML", "download the file itself, or save the table as CSV (UTF-8)"
    return None


def _archived(content: bytes) -> tuple[str, str]:
    """Return what a .zip under another name is."""
    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        names = []
    return next(
        (what, advice)
        for begin, what, advice in ARCHIVED
        if any(name.startswith(begin) for name in ("", *names))
    )
