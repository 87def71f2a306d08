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


def shifted(answers: list[tuple[str, int]], first: int) -> list[tuple[str, str, int]]:
    """Answers of PLAIN as a program has them that calls the first character `first`."""
    return [(PLAIN, text, start + first) for text, start in answers]


PLAIN = "강나루는 1921년에 푸른골에서 났다."
PLACES = [("강나루", 0), ("1921년", PLAIN.index("1921년")), ("푸른골", PLAIN.index("푸른골"))]


@pytest.mark.parametrize("first", [1, -1, 2, -7, 100, -100])
def test_a_constant_is_a_unit(first: int) -> None:
    unit = f"characters from {first}"
    assert unit_of_most(shifted(PLACES, first)) == (unit, 3)
    assert in_unit(PLAIN, "1921년", PLACES[1][1] + first, unit) == PLACES[1][1]
    # At two offsets only what programs really do is believed: counting from 1, or one too few.
    found = (unit, 2) if abs(first) == 1 else (None, 0)
    assert unit_of_most(shifted(PLACES[1:], first)) == found
    assert unit_of_most(shifted([PLACES[1]] * 9, first)) == (None, 0)


def test_what_is_no_constant() -> None:
    assert unit_of_most(shifted(PLACES, 101)) == (None, 0)
    half = [*shifted(PLACES, 3), *[(PLAIN, "없다", start) for start in (1, 2, 3)]]
    assert unit_of_most(half) == ("characters from 3", 3)
    assert unit_of_most([*half, (CONTEXT, "없다", 4)]) == (None, 0)
    # One offset for all, as -1 for "unknown": where the texts stand says nothing.
    unknown = [(f"{i} 나루", "나루", start) for i in range(9) for start in (-1, 0)]
    assert unit_of_most(unknown[::2]) == unit_of_most(unknown[1::2]) == (None, 0)
    # Each stands twice, 5 apart: these are 2 too many or 3 too few, and nobody knows which.
    twice = "가나다라 가나다라"
    two = [(twice, text, start + 2) for start, text in enumerate("가나다")]
    assert unit_of_most(two) == (None, 0)
    # These may be 4 too few as well, but counting from 1 is what programs do.
    one = [(twice, text, start + 1) for start, text in enumerate("가나다")]
    assert unit_of_most(one) == ("characters from 1", 3)


def test_bytes_explain_as_much_as_a_constant() -> None:
    """One emoji before everything: each offset is one too many, and counts UTF-16 units."""
    answers = [("😀강나루와 푸른골", text, start) for text, start in (("강나루", 2), ("푸른골", 7))]
    assert unit_of_most(answers) == ("UTF-16 units", 2)
    assert unit_of_most([*answers, ("강나루와 푸른골", "푸른골", 6)]) == ("characters from 1", 3)


def test_the_message_names_a_constant(tmp_path: Path) -> None:
    rows = [
        {"id": i, "context": context, "question": "?", "answers": text, "answer_start": start}
        for i, (context, text, start) in enumerate([*shifted(PLACES, 1), (CONTEXT, "없다", 0)])
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(UserError, match="counts characters from 1 in 3 of them, not from 0: mend"):
        read_examples(str(path))
