"""Random bytes and damaged files of every format: right examples or a one-line error."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.articles import squad_json
from support.data_files import (
    ALL_FORMATS,
    csv_bytes,
    flat_rows,
    guids,
    korquad2,
    mrqa,
    parquet_bytes,
    zip_bytes,
)

from qa.data.formats import read_examples
from qa.engine.errors import UserError

fuzz = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read_or_refuse(path: Path) -> bool:
    """Read a file in every way; return whether it could be read as it is."""
    read = []
    for labelled, nfc in ((True, False), (True, True), (False, False)):
        message = None
        try:
            examples = read_examples(str(path), labelled=labelled, nfc=nfc)
        except UserError as error:
            message = str(error)
        if message is not None:
            assert message.startswith(str(path))
            assert "\n" not in message
            assert len(message) < 800
            read.append(False)
            continue
        read.append(True)
        assert len({example.id for example in examples}) == len(examples) > 0
        for example in examples:
            assert example.question.strip() == example.question != ""
            for text, start in zip(example.answers, example.answer_starts, strict=True):
                assert example.context[start : start + len(text)] == text != ""
                assert labelled
            texts = [example.id, example.question, example.context, *example.answers]
            assert json.dumps(texts, ensure_ascii=False).encode()
            assert not nfc or texts[1:] == [normalize("NFC", text) for text in texts[1:]]
    return read[0]


damage = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),  # where, as a share of the length
        st.integers(0, 8),  # how many bytes go
        st.one_of(
            st.binary(max_size=4),
            st.sampled_from([b"", b'"', b"{", b",", b"\r\n", b"\0", b"\xff\xfe", b"\xed\xa0\x80"]),
            st.sampled_from(["😀", "\u200b", "\u1161", "\u2028", "NaN", "1e999", "\\ud800"]).map(
                str.encode
            ),
        ),
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """The content with bytes replaced, one change after the other."""
    for share, gone, added in changes:
        start = int(share * len(content))
        content = content[:start] + added + content[start + gone :]
    return content


@pytest.mark.parametrize("name", ALL_FORMATS)
@given(changes=damage)
@fuzz
def test_damaged_files(name: str, changes: list[tuple[float, int, bytes]], tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(damaged(ALL_FORMATS[name], changes))
    read_or_refuse(path)


@pytest.mark.parametrize("name", ALL_FORMATS)
@given(content=st.binary(max_size=60))
@fuzz
def test_any_bytes(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    read_or_refuse(tmp_path / name)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.sampled_from(
        ["강나루", "1921년", "\n", "😀", "\u1100\u1161", 10**30, [], {}, [{}], [[0, 1]]]
    ),
)


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys and indices that lead to every value inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in items:
        found.append((*path, key))
        if isinstance(inner, (dict, list)):
            found += paths_in(inner, (*path, key))
    return found


def lines_of(values: list[Any]) -> bytes:
    return "\n".join(json.dumps(value) for value in values).encode()


CONTENTS: dict[str, tuple[Any, Callable[[Any], bytes]]] = {
    "squad.json": (squad_json(), lambda value: json.dumps(value).encode()),
    "klue.json": (json.loads(guids()), lambda value: json.dumps(value).encode()),
    "korquad2.zip": (
        json.loads(korquad2()),
        lambda value: zip_bytes({"a.json": json.dumps(value).encode()}),
    ),
    "mrqa.jsonl.gz": (
        [json.loads(line) for line in mrqa().split(b"\n")],
        lambda value: gzip.compress(lines_of(value)),
    ),
    "flat.jsonl": (flat_rows(), lines_of),
    **{
        name: (json.loads(ALL_FORMATS[name]), lambda value: json.dumps(value).encode())
        for name in ("columns.json", "label_studio.json", "doccano.json")
    },
}


@pytest.mark.parametrize("name", CONTENTS)
@given(data=st.data())
@fuzz
def test_values_of_the_wrong_kind(name: str, data: st.DataObject, tmp_path: Path) -> None:
    original, encode = CONTENTS[name]
    value = json.loads(json.dumps(original))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths_in(value)))
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        if data.draw(st.booleans()):
            parent[path[-1]] = copy.deepcopy(data.draw(VALUES))
        else:
            del parent[path[-1]]
        if not paths_in(value):
            break
    (tmp_path / name).write_bytes(encode(value))
    read_or_refuse(tmp_path / name)


@given(data=st.data())
@fuzz
def test_cells_of_the_wrong_kind(data: st.DataObject, tmp_path: Path) -> None:
    rows = flat_rows()[:3]
    column = data.draw(st.sampled_from(list(rows[0])))
    values = st.one_of(st.text(max_size=5), st.sampled_from(["-1", "5.0", "1e3", "", "\r", "true"]))
    for row in rows:
        row[column] = data.draw(values)
    (tmp_path / "a.csv").write_bytes(csv_bytes(rows))
    read_or_refuse(tmp_path / "a.csv")
    conversions: list[Callable[[str], object]] = [str, len, lambda text: [text], str.encode]
    convert = data.draw(st.sampled_from(conversions))
    for row in rows:
        row[column] = convert(row[column])
    (tmp_path / "a.parquet").write_bytes(parquet_bytes(rows))
    read_or_refuse(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", [*ALL_FORMATS, *CONTENTS])
def test_undamaged_files_are_read(name: str, tmp_path: Path) -> None:
    """So that the tests above change files that would be read."""
    if name in CONTENTS:
        value, encode = CONTENTS[name]
        (tmp_path / name).write_bytes(encode(value))
    else:
        (tmp_path / name).write_bytes(ALL_FORMATS[name])
    assert read_or_refuse(tmp_path / name)
