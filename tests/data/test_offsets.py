"""Offsets that count something else than characters: detected, named and mended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.offsets import measured

from qa.data.formats import read_examples
from qa.data.offsets import UNITS, from_utf8, from_utf16, in_unit, stands_at, unit_of_most
from qa.engine.errors import UserError

CONTEXT = "강나루는 😀\u200b 1921년\n푸른골에서 났다."


@pytest.mark.parametrize(
    ("context", "text", "start", "expected"),
    [
        ("강나루", "나루", 1, True),
        ("강나루", "나루", 0, False),
        ("강나루", "나루", -2, False),
        ("강나루", "나루", 10**30, False),
        ("강나루", "", 1, False),
        ("강 나루", " ", 1, False),
        ("강나루", "나루는", 1, False),
    ],
)
def test_stands_at(context: str, text: str, start: int, expected: bool) -> None:
    assert stands_at(context, text, start) is expected


def test_by_hand() -> None:
    """강 is three bytes and one unit, the emoji four bytes and two units."""
    assert [from_utf8("강😀a", byte) for byte in range(-1, 10)] == [
        *(None, 0, None, None, 1, None, None, None, 2, 3, None)
    ]
    assert [from_utf16("강😀a", unit) for unit in range(-1, 6)] == [None, 0, 1, None, 2, 3, None]
    joined, split = (
        UNITS[rf"each {name}"] for name in (r"\r\n as one character", r"\n as two characters")
    )
    assert [joined("a\r\nb\nc", n) for n in range(-1, 7)] == [None, 0, 1, 3, 4, 5, 6, None]
    assert [split("a\nb", n) for n in range(-1, 6)] == [None, 0, 1, None, 2, 3, None]


texts = st.text(st.sampled_from("강나a1 \n\r😀é\u200b\u1100\u1161"), min_size=1, max_size=30)


@given(context=texts, data=st.data(), unit=st.sampled_from(sorted(UNITS)))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_every_unit_is_converted_to_characters(
    context: str, data: st.DataObject, unit: str
) -> None:
    start = data.draw(st.integers(0, len(context)))
    if context[start - 1 : start + 1] == "\r\n" and start:
        return  # between the two, where no program that joins or splits line ends can point
    if "\n" in context and unit == r"each \n as two characters" and "\r" in context:
        return  # such a program has no \r\n in its text
    assert UNITS[unit](context, measured(context, start, unit)) == start


@given(context=texts, start=st.integers(-5, 200), unit=st.sampled_from(sorted(UNITS)))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_no_offset_is_guessed(context: str, start: int, unit: str) -> None:
    """Measuring the character that was found gives the offset again."""
    found = UNITS[unit](context, start)
    if found is not None and not ("\r" in context and unit == r"each \n as two characters"):
        assert measured(context, found, unit) == start


@pytest.mark.parametrize(
    ("unit", "context"),
    [
        ("UTF-8 bytes", CONTEXT),
        ("UTF-16 units", CONTEXT),
        # No emoji, which would count as two as well.
        (r"each \r\n as one character", CONTEXT.replace("😀", "").replace("\n", "\r\n")),
        (r"each \n as two characters", CONTEXT.replace("😀", "")),
    ],
)
def test_the_unit_of_a_file_is_named(unit: str, context: str, tmp_path: Path) -> None:
    start = context.index("푸른골")
    wrong = measured(context, start, unit)
    assert wrong != start
    assert in_unit(context, "푸른골", wrong, unit) == start
    rows = [
        {"id": i, "context": context, "question": "?", "answers": text, "answer_start": offset}
        for i, (text, offset) in enumerate([("강나루", 0), ("푸른골", wrong)])
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(UserError) as caught:
        read_examples(str(path))
    assert str(caught.value) == (
        f"{path}: 1 answers do not stand in their context at answer_start (1); answer_start"
        f" counts {unit}, not characters: mend it (python -m qa doctor FILE --write-fixed OUT)"
    )


def test_the_unit_of_most() -> None:
    in_bytes = (CONTEXT, "1921년", measured(CONTEXT, CONTEXT.index("1921년"), "UTF-8 bytes"))
    in_units = (CONTEXT, "1921년", measured(CONTEXT, CONTEXT.index("1921년"), "UTF-16 units"))
    nowhere = (CONTEXT, "없다", 3)
    assert unit_of_most([in_bytes, in_bytes, in_units]) == ("UTF-8 bytes", 2)
    assert unit_of_most([in_units, nowhere]) == ("UTF-16 units", 1)
    assert unit_of_most([in_units, nowhere, nowhere]) == (None, 0)
    assert unit_of_most([nowhere]) == (None, 0)
    assert unit_of_most([]) == (None, 0)


def test_a_message_says_how_many_count_another_unit(tmp_path: Path) -> None:
    wrong = [measured(CONTEXT, CONTEXT.index("1921년"), "UTF-8 bytes")] * 2 + [1]
    rows = [
        {"id": i, "context": CONTEXT, "question": "?", "answers": "1921년", "answer_start": start}
        for i, start in enumerate(wrong)
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(UserError, match="counts UTF-8 bytes in 2 of them, not characters: mend"):
        read_examples(str(path))
