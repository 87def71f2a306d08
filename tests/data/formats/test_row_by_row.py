"""Questions that are read row by row are those of `read_examples`, whatever the file holds."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa.data.examples import Example
from qa.data.formats import read_examples
from qa.data.formats.row_by_row import open_questions
from qa.engine.errors import UserError

Outcome = tuple[list[Example] | str, list[str]]
ROWS = [{"id": str(i), "question": f"질문 {i}?", "context": f"글 {i}.\u2028끝"} for i in range(9)]


def outcome(read: Callable[[], list[Example]]) -> Outcome:
    """The questions or the error, and the notices."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found: list[Example] | str = read()
        except UserError as error:
            found = str(error)
    return found, [str(each.message) for each in caught]


def whole(path: Path) -> Outcome:
    return outcome(lambda: read_examples(str(path), split="validation", labelled=False))


def streamed(path: Path, rows: bool = True) -> Outcome:
    def read() -> list[Example]:
        questions = open_questions(str(path))
        assert (questions._rows is not None) == rows
        found = list(questions)
        assert found == list(questions)  # again
        assert len(found) == questions.total
        return found

    return outcome(read)


def write_lines(path: Path, rows: list[Any]) -> Path:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(lines, encoding="utf-8")
    return path


def test_lines_compressed_lines_and_parquet(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    expected = whole(path)
    assert len(expected[0]) == 9
    assert streamed(path) == expected
    for suffix, compress in ((".gz", gzip), (".bz2", bz2), (".xz", lzma)):
        packed = tmp_path / f"a.jsonl{suffix}"
        packed.write_bytes(compress.compress(path.read_bytes()))
        assert streamed(packed) == expected
    table = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), table, row_group_size=2)
    assert streamed(table) == whole(table) == expected


def test_what_is_named_parquet_is_what_its_bytes_say(tmp_path: Path) -> None:
    table = pyarrow.Table.from_pylist(ROWS)
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(table, path)
    expected, content = whole(path), path.read_bytes()
    assert len(expected[0]) == 9
    path.write_bytes(gzip.compress(content))
    assert streamed(path, rows=False) == expected
    packed = tmp_path / "a.parquet.gz"
    packed.write_bytes(gzip.compress(content))
    assert streamed(packed, rows=False) == expected
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    assert streamed(path, rows=False) == expected
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    assert "git lfs pull" in str(outcome(lambda: list(open_questions(str(path)))))


def test_articles_a_line_and_the_header_of_mrqa(tmp_path: Path) -> None:
    article = {"context": "글", "qas": [{"id": str(i), "question": f"질문 {i}"} for i in range(3)]}
    other = {"title": "x", "paragraphs": [{**article, "qas": [{"id": "z", "question": "?"}]}]}
    path = write_lines(tmp_path / "a.jsonl", [{"header": {}}, article, other])
    assert streamed(path) == whole(path)
    assert len(whole(path)[0]) == 4


ROW = st.fixed_dictionaries(
    {"question": st.sampled_from(["가?", "나?", " "]), "context": st.sampled_from(["글", "글 둘"])},
    optional={"id": st.sampled_from(["1", "2", "", 3])},
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(ROW, max_size=8))
def test_repeated_questions_and_ids(rows: list[Any], tmp_path_factory: Any) -> None:
    """Joined, numbered or refused, with the same words."""
    path = write_lines(tmp_path_factory.mktemp("rows") / "a.jsonl", rows)
    found, expected = streamed(path, rows=bool(rows)), whole(path)
    assert found[0] == expected[0]
    if not isinstance(expected[0], str):
        assert sorted(found[1]) == sorted(expected[1])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"id": "1"}\n{"id": "2"}\n',
        b'{"id": "1", "question": "a", "context": "b"}\n{"id": \n',
        b'{"id": "1", "question": "a", "context": "b"}\n3\n',
        b'[{"id": "1", "question": "a", "context": "b"},\n{"question": "a", "context": "b"}]',
        b'\xef\xbb\xbf{"id": "1", "question": "a", "context": "b"}\n\n{"question": "", "id": 1}',
        '{"id": "1", "question": "a", "context": "b"}\n'.encode("utf-16"),
        b"<html>",
    ],
    ids=range(9),
)
def test_other_content_is_answered_in_the_same_words(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    found = outcome(lambda: list(open_questions(str(path))))
    assert found == whole(path)


def test_text_that_is_not_utf8_names_its_line(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    path.write_bytes(path.read_bytes() + '{"question": "물음"}\n'.encode("cp949"))
    assert streamed(path)[0] == f"{path}: line 10 is not UTF-8 text; convert it to UTF-8"


def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS * 1)
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), compresslevel=0)[:-9])
    message = streamed(packed)[0]
    assert isinstance(message, str)
    assert message.startswith(f"{packed}: is not a whole compressed file (")


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    questions = open_questions(str(path))
    write_lines(path, ROWS[:-1])
    with pytest.raises(UserError, match="changed while it was read"):
        list(questions)


def test_the_fingerprint_is_that_of_what_is_asked(tmp_path: Path) -> None:
    first = open_questions(str(write_lines(tmp_path / "a.jsonl", ROWS))).fingerprint
    longer = [{**row, "answers": [], "title": "t"} for row in ROWS]
    assert open_questions(str(write_lines(tmp_path / "b.jsonl", longer))).fingerprint == first
    array = tmp_path / "c.json"
    array.write_text(json.dumps(ROWS), encoding="utf-8")
    assert open_questions(str(array)).fingerprint == first
    for name in ("id", "question", "context"):
        other = [*ROWS[:-1], {**ROWS[-1], name: "x"}]
        assert open_questions(str(write_lines(tmp_path / "d.jsonl", other))).fingerprint != first
