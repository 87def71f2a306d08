"""What clients send: each mistake gets a sentence, and no input anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.serving import PAIR

from qa.engine.errors import UserError
from qa.serving.options import ServingOptions
from qa.serving.requests import TooLarge, parse

OPTIONS = ServingOptions(max_context_length=50)
Q, C = PAIR["question"], PAIR["context"]
EXPECTED = "expected {"

WRONG: list[tuple[Any, str]] = [
    (b"", "the body is empty; expected {"),
    (b"  \n", "the body is empty; expected {"),
    (b"\xff\xff", "the body is not UTF-8"),
    (b'{"question": "\xea\xb0', "the body is not UTF-8"),
    (b"{", "the body is not JSON (line 1, column 2: "),
    (b'{"question": "a", "context": "b"', "the body is not JSON (line 1, column 33: "),
    (b"[" * 100_000, "the body is nested too deeply"),
    (b"9" * 5000, "the body holds a number of too many digits"),
    ([], "the list is empty"),
    (None, "expected {"),
    (3, "expected {"),
    ("text", "expected {"),
    ({}, "has no question and no context"),
    ({"question": Q}, "has no context"),
    ({"question": Q, "context": None}, "the context must be a string, not None"),
    ({"question": 1, "context": C}, "the question must be a string, not an int"),
    ({"question": "", "context": C}, "the question is empty"),
    ({"question": Q, "context": " \n"}, "the context is empty"),
    ({"question": Q, "context": "\ud83d"}, "the context holds half a surrogate pair"),
    ({**PAIR, "top_k": 0}, "top_k must be at least 1, not 0"),
    ({**PAIR, "top_k": 6}, "top_k must be at most 5, not 6"),
    ({**PAIR, "top_k": 1.0}, "top_k must be a whole number, not a float"),
    ({**PAIR, "top_k": True}, "top_k must be a whole number, not True"),
    ({**PAIR, "top_k": None}, "top_k must be a whole number, not None"),
    ([PAIR, {"question": Q}], "pair 1: has no context"),
    ([PAIR, [Q, C]], "pair 1: expected {"),
    ([PAIR, {**PAIR, "top_k": 9}], "pair 1: top_k must be at most 5"),
]
LARGE: list[tuple[Any, str]] = [
    ([PAIR] * 33, "33 questions; a request takes 32 at most"),
    ({"question": Q, "context": "가" * 51}, "51 characters of context; a request takes 50 at most"),
    ([{"question": Q, "context": "가" * 26}] * 2, "52 characters of context"),
    ({"question": "?" * 2001, "context": C}, "the question has 2,001 characters; at most 2,000"),
]


def body_of(sent: Any) -> bytes:
    """What a client sends."""
    return sent if isinstance(sent, bytes) else json.dumps(sent).encode()


@pytest.mark.parametrize(("sent", "message"), WRONG)
def test_what_is_wrong_is_said(sent: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(body_of(sent), OPTIONS, 5)
    assert str(error.value).startswith(message)
    assert not isinstance(error.value, TooLarge)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(("sent", "message"), LARGE)
def test_what_is_too_large_is_said(sent: Any, message: str) -> None:
    with pytest.raises(TooLarge) as error:
        parse(body_of(sent), OPTIONS, 5)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("has_collection", [False, True])
def test_one_question_and_a_list(has_collection: bool) -> None:
    (one,), is_list = parse(body_of({**PAIR, "id": "ignored"}), OPTIONS, 5, has_collection)
    assert (one.example.question, one.example.context, one.top_k, is_list) == (Q, C, 1, False)
    several, is_list = parse(body_of([PAIR, {**PAIR, "top_k": 5}]), OPTIONS, 5)
    assert ([asked.top_k for asked in several], is_list) == ([1, 5], True)
    assert parse(body_of([PAIR]), OPTIONS, 5)[1]


def test_no_list_is_longer_than_the_queue() -> None:
    options = ServingOptions(max_queue=2)
    assert len(parse(body_of([PAIR] * 2), options, 5)[0]) == 2
    with pytest.raises(TooLarge, match="a request takes 2 at most"):
        parse(body_of([PAIR] * 3), options, 5)


def test_the_largest_request_fits_into_the_largest_body() -> None:
    """Escaped as JSON of ASCII does it, with every character outside of the basic plane."""
    options = ServingOptions(max_context_length=320)
    pair = {"question": "🏛" * 2000, "context": "🏛" * 10, "top_k": 5}
    body = json.dumps([pair] * 32, indent=4).encode()
    assert len(parse(body, options, 5)[0]) == 32
    assert len(body) <= options.max_body < 1.1 * len(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["question", "context", "top_k", "x"]), inner)
    ),
)


@given(JSON.map(body_of) | st.binary(max_size=60))
def test_nothing_that_is_sent_raises_anything_else(body: bytes) -> None:
    try:
        asked, _ = parse(body, OPTIONS, 5)
    except UserError:
        return
    assert all(each.example.question.strip() and 1 <= each.top_k <= 5 for each in asked)
