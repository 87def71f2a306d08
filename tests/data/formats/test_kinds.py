"""Files told by their content: read for what they are, or refused with what they are."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.articles import article_examples, squad_json
from support.data_files import csv_bytes, flat_rows, parquet_bytes, tar_bytes, zip_bytes

from qa.data.formats import read_examples
from qa.engine.errors import UserError

SQUAD = json.dumps(squad_json()).encode()
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 38527475\n"


def sqlite_bytes(folder: Path) -> bytes:
    with sqlite3.connect(folder / "made.db") as connection:
        connection.execute("create table a (b)")
    connection.close()
    return (folder / "made.db").read_bytes()


PARTS = {
    f"data/{n}.json": json.dumps({"data": [a]}).encode() for n, a in enumerate(squad_json()["data"])
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json.bz2", bz2.compress(SQUAD)),
        ("a.json.xz", lzma.compress(SQUAD)),
        ("a.csv.BZ2", bz2.compress(csv_bytes(flat_rows()))),
        ("two-parts.json.xz", lzma.compress(SQUAD[:99]) + lzma.compress(SQUAD[99:])),
        ("gzip-by-content.json", gzip.compress(SQUAD)),
        ("bzip2-by-content.json", bz2.compress(SQUAD)),
        ("xz-by-content.json", lzma.compress(SQUAD)),
        ("parquet-by-content.json", parquet_bytes(flat_rows())),
        ("parquet-by-content", gzip.compress(parquet_bytes(flat_rows()))),
        ("a.tar", tar_bytes(dict(reversed(PARTS.items())))),
        ("a.tar.gz", tar_bytes(PARTS, "gz")),
        ("a.tgz", tar_bytes(PARTS, "gz")),
        ("a.tar.bz2", tar_bytes(PARTS, "bz2")),
        ("a.txz", tar_bytes(PARTS, "xz")),
        ("other-compression.tar.gz", tar_bytes(PARTS, "xz")),
        ("packed.zip", zip_bytes({"a.json.xz": lzma.compress(SQUAD), "._a.json": b"\0"})),
        ("mac.tar", tar_bytes({"._a.json": b"\0\5\x16\7", "a.json": SQUAD, "README": b"?"})),
    ],
    ids=lambda value: value if isinstance(value, str) else "bytes",
)
def test_what_is_read(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_examples(str(tmp_path / name)) == article_examples()
    (tmp_path / "folder").mkdir()
    if "." in name:
        (tmp_path / name).rename(tmp_path / "folder" / name)
        assert read_examples(str(tmp_path / "folder")) == article_examples()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504
XLSX = zip_bytes({"[Content_Types].xml": b"", "xl/workbook.xml": b""})
REFUSED = {
    "old-excel": (
        OLE,
        "is an old Excel or Word file, an HWP file, or one with a password; save it",
    ),
    "excel": (XLSX, "is an Excel workbook"),
    "word": (zip_bytes({"word/document.xml": b""}), "is a Word document; questions and answers"),
    "hwpx": (zip_bytes({"Contents/content.hpf": b""}), "is an HWPX document; save its table"),
    "zip": (zip_bytes({"a.json": SQUAD}), "is a zip archive; name it .zip"),
    "cut-zip": (zip_bytes({"a.json": SQUAD})[:60], "is a zip archive; name it .zip"),
    "tar": (tar_bytes(PARTS), "is a tar archive; name it .tar, or .tar.gz if it is compressed"),
    "tar-gz": (tar_bytes(PARTS, "gz"), "is a tar archive; name it .tar"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "is a 7-Zip archive; unpack it and pass the files"),
    "rar": (b"Rar!\x1a\x07\x01\0", "is a RAR archive; unpack it"),
    "zstd": (b"\x28\xb5\x2f\xfd\4", "is compressed by zstd; unzstd FILE unpacks it"),
    "pdf": (b"%PDF-1.7\n%\xe2", "is a PDF; questions and answers must be in JSON, CSV or Parquet"),
    "pickle-2": (pickle.dumps(flat_rows(), 2), "is a pickle, which may run any code when it is op"),
    "pickle-5": (pickle.dumps({}, 5), "is a pickle, which may run"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0", "is an HDF5 file; save it as CSV (UTF-8), JSON or Parquet"),
    "lfs": (LFS, "is the pointer of Git LFS to a file; git lfs pull fetches it"),
    "html": (b"\n<!DOCTYPE html>\n<html>", "is a page of HTML or XML; download the file itself"),
    "html-mark": (b"\xef\xbb\xbf<html lang='ko'>", "is a page of HTML or XML"),
    "macos": (b"\0\5\x16\7\0\2", "is what macOS keeps beside a file; pass the file without ._"),
}


@pytest.mark.parametrize(
    "suffix", [".json", ".csv", ".parquet", ".xlsx", ".gz", ".zip", ".tar", ".x"]
)
@pytest.mark.parametrize("kind", [*REFUSED, "sqlite"])
def test_what_is_refused_says_what_it_is(kind: str, suffix: str, tmp_path: Path) -> None:
    content, expected = REFUSED.get(kind, (b"", "is an SQLite database; export its table as CSV"))
    path = tmp_path / f"my{suffix}"
    path.write_bytes(content or sqlite_bytes(tmp_path))
    if suffix in (".zip", ".xlsx") and content[:2] == b"PK":
        expected = ""  # what stands in it is looked at where it is read
    if suffix == ".tar" and kind in ("tar", "tar-gz"):
        assert read_examples(str(path)) == article_examples()
        return
    if suffix == ".zip" and kind == "zip":
        assert read_examples(str(path)) == article_examples()
        return
    if suffix == ".zip" and kind == "tar-gz":
        expected = "is not a zip file that can be read (File is not a zip file)"
    with pytest.raises(UserError) as caught:
        read_examples(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: {expected}")
    assert "\n" not in message
    assert len(message) < 300


def test_text_of_csv_that_only_begins_like_another_kind(tmp_path: Path) -> None:
    """BZh, PK and the like may begin a text; only whole marks count."""
    for begin in ("PK", "ORC", "Rar", "7z", "%PDF", "<p>"):
        path = tmp_path / "a.csv"
        path.write_bytes(csv_bytes([{begin: "x", **row} for row in flat_rows()]))
        assert read_examples(str(path)) == article_examples()


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
@given(data=st.data())
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_an_archive_that_was_cut_never_loses_a_member(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    whole = tar_bytes(PARTS, "" if name == "a.tar" else "gz")
    path = tmp_path / name
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    message, found = "", []
    try:
        found = read_examples(str(path))
    except UserError as error:
        message = str(error)
    assert found in ([], article_examples())
    assert message.startswith(f"{path}: is not a tar file that can be read (") or found


def test_a_binary_file_of_no_known_kind(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\x01\x02\xff\xfe" * 40 + b"\0" * 9)
    with pytest.raises(UserError, match="if it is no text at all, save its data as JSON, CSV or"):
        read_examples(str(path))


def test_hangul_in_utf16_without_a_mark_is_told_what_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("지문,질문\n".encode("utf-16-le"))
    with pytest.raises(UserError, match="save it as UTF-8, if it is UTF-16 or UTF-32 without"):
        read_examples(str(path), labelled=False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", SQUAD),
        ("a", SQUAD),
        ("a.csv", SQUAD),
        ("a.tsv", b"\n".join(json.dumps(row).encode() for row in flat_rows())),
        ("a.txt", csv_bytes(flat_rows())),
        ("a.txt", csv_bytes(flat_rows(), "\t")),
        ("a.dat.gz", csv_bytes(flat_rows(), ";")),
    ],
)
def test_text_under_another_name(name: str, content: bytes, encoding: str, tmp_path: Path) -> None:
    text = content.decode().encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read_examples(str(tmp_path / name)) == article_examples()
