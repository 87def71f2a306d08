"""NFC with offsets, against unicodedata."""

from __future__ import annotations

import itertools
import json
import time
import tracemalloc
from pathlib import Path
from typing import Literal, TypeAlias
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.articles import ARTICLES, squad_json

from qa.data.examples import Example
from qa.data.formats import read_examples
from qa.data.nfc import (
    UNKNOWN,
    compose,
    compose_example,
    is_decomposed,
    original_spans,
)
from qa.data.offsets import stands_at
from qa.engine.errors import UserError

# Jamo, syllables, marks of several classes, a starter that composes with the one before it (\u09be
# after \u09c7, \u0dcf after \u0dd9), one that decomposes into marks (\u0f73), one that no NFC has.
PIECES = (
    "강가a \u1100\u1161\u11a8\u11ab\u0301\u0323\u0327e\u00e9\u0344\u09c7\u09be\u0dd9\u0dcf\u0dca"
    "\u0f71\u0f72\u0f73\u212b\u0958😀"
)
texts = st.text(
    st.one_of(st.sampled_from(PIECES), st.characters(exclude_categories=["Cs"])), max_size=12
)
# Mostly of marks, far more than any letter has.
crowded = st.lists(
    st.builds(str.__mul__, st.sampled_from(PIECES), st.integers(1, 12)), max_size=4
).map("".join)


@given(text=texts | crowded)
@settings(max_examples=3000, deadline=None, derandomize=True)
def test_every_offset_splits_the_composed_text_as_it_split_the_old_one(text: str) -> None:
    composed, new_offsets = compose(text)
    assert composed == normalize("NFC", text)
    new_offsets = list(range(len(text) + 1)) if new_offsets is None else new_offsets
    assert len(new_offsets) == len(text) + 1
    assert (new_offsets[0], new_offsets[-1]) == (0, len(composed))
    for old, new in enumerate(new_offsets):
        if new != UNKNOWN:
            assert normalize("NFC", text[:old]) == composed[:new]
            assert normalize("NFC", text[old:]) == composed[new:]


@given(text=texts, data=st.data())
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_a_composed_piece_is_found_in_the_text_it_was_composed_of(
    text: str, data: st.DataObject
) -> None:
    """Oracle: the shortest piece that composes to it, between offsets where a cut is possible."""
    composed, new_offsets = compose(text)
    start = data.draw(st.integers(0, len(composed)))
    end = data.draw(st.integers(start, len(composed)))
    cuts = [i for i in range(len(text) + 1) if new_offsets is None or new_offsets[i] != UNKNOWN]
    before = {i: len(normalize("NFC", text[:i])) for i in cuts}
    first = max(i for i in cuts if before[i] <= start)
    last = min(i for i in cuts if before[i] >= end)
    assert original_spans(text, [(start, end)] * 2) == [(first, last)] * 2
    assert composed[start:end] in normalize("NFC", text[first:last])


def test_original_spans_by_hand() -> None:
    text = normalize("NFD", "a각b")  # a, three jamo, b
    spans = [(0, 1), (1, 2), (1, 3), (2, 3)]
    assert original_spans(text, spans) == [(0, 1), (1, 4), (1, 5), (4, 5)]
    # Two characters are left of three that were composed together: both widen to all of them.
    assert original_spans("e\u0301\u0327x", [(0, 1), (1, 2), (2, 3)]) == [(0, 3), (0, 3), (3, 4)]
    assert original_spans("강", [(0, 1)]) == [(0, 1)]


def test_the_second_question_about_a_document_is_cheap() -> None:
    """What was computed for its text is cached: nothing as long as the text is made again."""
    text = normalize("NFD", "강나루는 화가이다. " * 2000)
    original_spans(text, [(0, 1)])
    tracemalloc.start()
    try:
        assert original_spans(text, [(0, 3)]) == [(0, 7)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(text)


def test_a_hundred_thousand_marks_take_little_time_and_memory() -> None:
    """In the wrong order: `normalize` alone takes 10 s for them."""
    text = "\u1100\u1161" + "\u0301\u0323" * 50_000
    started = time.process_time()
    tracemalloc.start()
    try:
        composed, new_offsets = compose(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 4
    assert composed == "가" + "\u0323" * 50_000 + "\u0301" * 50_000
    assert new_offsets == [0] + [UNKNOWN] * (len(text) - 1) + [len(composed)]
    assert peak < 200 * len(text)


def test_by_hand() -> None:
    assert compose("가강") == ("가강", None)
    assert compose(normalize("NFD", "a각b")) == ("a각b", [0, 1, -1, -1, 2, 3])
    assert compose("e\u0301\u0327x") == ("\u0229\u0301x", [0, -1, -1, 2, 3])
    assert compose("") == ("", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (normalize("NFD", "가"), True),
        ("나는 " + normalize("NFD", "각") + "다", True),
        ("강나루", False),
        ("", False),
        (normalize("NFD", "é"), False),
        ("\u1112\u119e\u11ab", False),  # old Hangul, which NFC leaves apart
        ("ㄱㅏ", False),  # compatibility jamo stand for themselves
    ],
)
def test_is_decomposed(text: str, expected: bool) -> None:
    assert is_decomposed(text) is expected
    if expected:
        assert normalize("NFC", text) != text


@given(context=texts, data=st.data())
@settings(max_examples=1000, deadline=None, derandomize=True)
def test_an_answer_is_at_its_place_or_has_none(context: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(context)))
    end = data.draw(st.integers(start, len(context)))
    text = context[start:end]
    composed = compose_example(Example("1", "?", context, (text,), (start,)))
    assert composed.answers == (normalize("NFC", text),)
    (new_start,) = composed.answer_starts
    if new_start == UNKNOWN:
        return
    assert composed.context.startswith(composed.answers[0], new_start)
    assert normalize("NFC", context[:start]) == composed.context[:new_start]


PAIRS = [(c, q, a, c.index(a)) for _, c, pairs in ARTICLES for q, a in pairs]


Form: TypeAlias = Literal["NFC", "NFD"]
FORMS: tuple[Form, ...] = ("NFC", "NFD")


@pytest.mark.parametrize("forms", list(itertools.product(FORMS, repeat=3)))
@pytest.mark.parametrize(("context", "question", "answer", "start"), PAIRS)
def test_all_mixtures_of_forms_give_the_same(
    forms: tuple[Form, Form, Form], context: str, question: str, answer: str, start: int
) -> None:
    """Context, answer and offset, each composed or decomposed."""
    in_context, in_answer, in_offset = forms
    if (in_context, in_offset) == ("NFC", "NFD"):
        return  # counts characters of a text that is not there
    example = Example(
        "1",
        normalize(in_answer, question),
        normalize(in_context, context),
        (normalize(in_answer, answer),),
        (len(normalize(in_offset, context[:start])),),
        normalize("NFD", "제목"),
    )
    expected = Example("1", question, context, (answer,), (start,), "제목")
    assert compose_example(example) == expected


def test_answers_that_end_inside_a_syllable_have_no_place() -> None:
    context = normalize("NFD", "강물")
    for text, start in (("\u1100\u1161", 0), ("\u1161\u11bc", 1), ("\u11bc\u1106\u116e", 2)):
        assert stands_at(context, text, start)
        composed = compose_example(Example("1", "?", context, (text,), (start,)))
        assert composed.answer_starts == (UNKNOWN,)


def test_two_possible_places_are_none() -> None:
    """나 stands at composed character 2 and at what was character 2."""
    context = normalize("NFD", "가나나")
    composed = compose_example(Example("1", "?", context, ("나",), (2,)))
    assert composed.context[1] == composed.context[2] == "나"
    assert composed.answer_starts == (UNKNOWN,)


def test_a_decomposed_file(tmp_path: Path) -> None:
    """Read as it is if its offsets count it; --nfc composes it; a mixture is an error."""
    path = tmp_path / "a.json"
    expected = tmp_path / "expected.json"
    expected.write_text(json.dumps(squad_json()))
    content = json.loads(normalize("NFD", json.dumps(squad_json(), ensure_ascii=False)))
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        read_examples(str(path))
    assert "NFD, from macOS): train with --nfc, or mend it" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert read_examples(str(path), nfc=True) == read_examples(str(expected))
    for article, (_, context, _) in zip(content["data"], ARTICLES, strict=True):
        for qa in article["paragraphs"][0]["qas"]:
            (answer,) = qa["answers"]
            before = context[: answer["answer_start"]]
            answer["answer_start"] = len(normalize("NFD", before))
    path.write_text(json.dumps(content))
    assert is_decomposed(read_examples(str(path))[0].context)
    assert read_examples(str(path), nfc=True) == read_examples(str(expected))
