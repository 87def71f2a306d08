"""What people pass to a `Reader`: taken in every form that is meant, or refused in one line."""

from __future__ import annotations

import unicodedata
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.articles import ARTICLES

from qa.answering.reader import Reader
from qa.data.examples import Example
from qa.engine.errors import Notice, UserError

pytestmark = pytest.mark.usefixtures("one_thread")

DIRECTORY = Path(__file__).parents[1] / "outputs" / "golden" / "answerable" / "run" / "best"
CONTEXT = ARTICLES[0][1]
QUESTION = "강나루가 태어난 해는?"
Row = namedtuple("Row", ["Index", "context", "question"])  # as pandas' itertuples gives them
PAIR: Any = {"question": QUESTION, "context": CONTEXT}


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader.from_pretrained(DIRECTORY, device="cpu", precision="fp32")


@pytest.mark.parametrize(
    "pair",
    [
        (QUESTION, CONTEXT),
        [QUESTION, CONTEXT],
        PAIR,
        OrderedDict(context=CONTEXT, question=QUESTION, id="7", answers={"text": []}),
        Example("7", QUESTION, CONTEXT),
        Row(7, CONTEXT, QUESTION),
        SimpleNamespace(context=CONTEXT, question=QUESTION),
    ],
    ids=["tuple", "list", "mapping", "row of a data set", "example", "named tuple", "object"],
)
def test_pairs_in_every_form_that_people_have(pair: Any, reader: Reader) -> None:
    expected = reader.answer(**PAIR)
    assert expected[0].text in CONTEXT
    assert reader.answer_many([pair]) == [expected]
    assert reader.answer_many(iter([pair, (QUESTION, CONTEXT)])) == [expected, expected]


PAIRS_REFUSED = [
    ("가나", "pass a list of .*, not a str"),
    (b"ab", "not a bytes"),
    (None, "not None"),
    (3, "not an int"),
    (PAIR, "not a dict; put the one into a list"),
    (Example("7", QUESTION, CONTEXT), "not an Example; put the one into a list"),
    ({"question": [QUESTION], "context": [CONTEXT]}, "not a dict; pass one for each question"),
    (pandas.DataFrame([PAIR]), r'not a DataFrame; pass its rows, .to_dict\("records"\)'),
    (numpy.array([[QUESTION, CONTEXT]]), "pair 0: expected .*, not a numpy.ndarray"),
    (["가나"], "pair 0: expected .*, not a str; put a lone pair into a list"),
    ((QUESTION, CONTEXT), "pair 0: expected .*, not a str; put a lone pair into a list"),
    ([PAIR, None], "pair 1: expected .*, not None"),
    ([PAIR, 5], "pair 1: expected .*, not an int"),
    ([b"ab"], "pair 0: expected .*, not a bytes"),
    ([{QUESTION, CONTEXT}], "pair 0: expected .*, not a set"),
    ([(QUESTION, CONTEXT, "1")], "pair 0: expected .*, not a tuple of 3 items"),
    ([[]], "pair 0: expected .*, not a list of 0 items"),
    ([{"query": QUESTION, "context": CONTEXT}], "pair 0: has no question, only query, context"),
    ([{}], "pair 0: has no question and no context, only no keys"),
    ([PAIR, {**PAIR, "context": None}], "pair 1: the context must be a string, not None"),
    ([(QUESTION, [CONTEXT])], "pair 0: the context must be a string, not a list"),
    ([(1, CONTEXT)], "pair 0: the question must be a string, not an int"),
    ([{**PAIR, "question": "\u3000"}], "pair 0: the question is empty"),
]


@pytest.mark.parametrize(("pairs", "expected"), PAIRS_REFUSED)
def test_what_is_no_pair_is_named(pairs: Any, expected: str, reader: Reader) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        reader.answer_many(pairs)
    assert "\n" not in str(caught.value)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from(["question", "context", "id"]) | st.integers(), inner)
    ),
    max_leaves=6,
)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def is_pair(value: Any) -> bool:
    if isinstance(value, dict):
        value = [value.get("question"), value.get("context")]
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(is_text, value))


@settings(deadline=None, max_examples=300)
@given(pairs=ANY)
def test_anything_else_is_answered_or_refused(pairs: Any, reader: Reader) -> None:
    is_fit = isinstance(pairs, list | tuple) and all(map(is_pair, pairs))
    if is_fit:
        assert len(reader.answer_many(pairs)) == len(pairs)
    else:
        with pytest.raises(UserError):
            reader.answer_many(pairs)


def test_pairs_in_the_wrong_order_are_noticed(reader: Reader) -> None:
    """The names of the parts count before their order, and a short context is nothing wrong."""
    wrong: Any = [(CONTEXT, QUESTION), [CONTEXT, QUESTION]]
    with pytest.warns(Notice, match=r"^2 of 3 pairs .* \(0, 2\); a pair is \(question, context\)$"):
        reader.answer_many([wrong[0], PAIR, wrong[1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader.answer_many([(QUESTION, CONTEXT), ("누가 왔나?", "강나루"), PAIR])
        reader.answer_many([{"question": "누가 왔나?", "context": "강나루"}])


@pytest.mark.parametrize("name", ["question", "context"])
@pytest.mark.parametrize(
    ("value", "kind"), [(None, "None"), ([CONTEXT], "a list"), (b"ab", "a bytes"), (3, "an int")]
)
def test_answer_names_the_argument_and_its_type(
    name: str, value: Any, kind: str, reader: Reader
) -> None:
    with pytest.raises(UserError, match=f"^the {name} must be a string, not {kind}$"):
        reader.answer(**{**PAIR, name: value})


@pytest.mark.parametrize("top_k", [True, 1.0, "1", None, 0, -3])
def test_top_k_is_a_whole_number(top_k: Any, reader: Reader) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: reader.answer(**PAIR, top_k=top_k),
        lambda: reader.answer_many([], top_k=top_k),
        lambda: reader.iterate_answers([], top_k=top_k),  # at once, not at the first answer
    ]
    for call in calls:
        with pytest.raises(UserError, match="top_k must be"):
            call()
    for nfc, kind in (("NFC", "a str"), (numpy.bool_(1), "a numpy.bool")):
        with pytest.raises(UserError, match=f"nfc must be True or False, not {kind}"):
            reader.answer(**PAIR, nfc=nfc)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("examples", "expected"),
    [
        ([(QUESTION, CONTEXT)], "example 0 is a tuple, not an Example.*answer_many takes pairs"),
        ([Example("0", QUESTION, CONTEXT), PAIR], "example 1 is a dict"),
        ("ab", "pass a list of examples, .*, not a str"),
        (None, "not None"),
        ([Example("0", QUESTION, None)], "example 0: the context must be a string, not None"),  # type: ignore[arg-type]
        ([Example("0", "", CONTEXT)], "example 0: the question is empty"),
    ],
)
def test_iterate_answers_takes_examples(examples: Any, expected: str, reader: Reader) -> None:
    with pytest.raises(UserError, match=expected):
        reader.iterate_answers(examples)


def test_iterate_answers_takes_a_generator(reader: Reader) -> None:
    examples: Iterator[Example] = (Example(str(i), QUESTION, CONTEXT) for i in range(2))
    assert list(reader.iterate_answers(examples)) == [reader.answer(**PAIR)] * 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"doc_stride": 8},
            "unknown settings of a reader: doc_stride; there are batch_size, decoding, max",
        ),
        ({"max_answer_length": "5"}, "max_answer_length must be a whole number, not a str"),
        ({"n_best_size": 5.0}, "n_best_size must be a whole number, not a float"),
        ({"window_overlap": None}, "window_overlap must be a whole number, not None"),
        ({"max_seq_length": True}, "max_seq_length must be a whole number, not True"),
        ({"null_score_diff_threshold": "0"}, "must be a number or None, not a str"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, not a float"),
        ({"device": None}, "device must be a string such as 'auto', not None"),
        ({"precision": 16}, "precision must be a string such as 'auto', not an int"),
        ({"trust_remote_code": "no"}, "trust_remote_code must be True or False, not a str"),
    ],
)
def test_settings_of_another_type(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        Reader.from_pretrained(DIRECTORY, **given)


def test_numbers_of_numpy_are_numbers() -> None:
    """They come from a search over settings; saved, they must be JSON."""
    given: dict[str, Any] = {"max_answer_length": numpy.int64(7), "batch_size": numpy.int32(3)}
    given["null_score_diff_threshold"] = numpy.float32(0.5)
    reader = Reader.from_pretrained(DIRECTORY, device="cpu", **given)
    assert type(reader.answerer.options.max_answer_length) is int
    assert reader.answerer.options.max_answer_length == 7
    assert reader.answerer.batch_size == 3
    assert type(reader.null_score_diff_threshold) is float
    assert reader.null_score_diff_threshold == 0.5


@pytest.mark.parametrize(("directory", "expected"), [(None, "not None"), ("", "is empty")])
def test_directories_that_are_none(directory: Any, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        Reader.from_pretrained(directory)


def test_decomposed_hangul_is_told_once(reader: Reader) -> None:
    decomposed: Any = [tuple(unicodedata.normalize("NFD", text) for text in PAIR.values())] * 3
    with pytest.warns(Notice) as given:
        reader.answer_many([*decomposed, PAIR])
    notes = [str(note.message) for note in given.list]
    assert [note for note in notes if "decomposed" in note] == [
        "3 questions in decomposed Hangul (NFD), or whose context is (0, 1, 2);"
        " --nfc (in Python nfc=True) composes it"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader.answer_many([*decomposed, PAIR], nfc=True)
        reader.answer_many([PAIR])


@pytest.mark.parametrize("nfc", [False, True])
def test_an_iterator_that_is_left_says_what_it_missed(nfc: bool, reader: Reader) -> None:
    long = Example("long", "알려 다오. " * 40 + QUESTION, CONTEXT)
    found = reader.iterate_answers([long, Example("other", QUESTION, CONTEXT)], nfc=nfc)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert next(iter(found))
    with pytest.warns(Notice, match=r"^1 questions cut to their last .* \(long\)$"):
        found.close()  # type: ignore[attr-defined]  # as `break` does


def test_what_was_missed_is_counted_where_that_is_asked_for(reader: Reader) -> None:
    long = Example("long", "알려 다오. " * 40 + QUESTION, CONTEXT)
    coverage = reader.coverage()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = list(
            reader.iterate_answers([long, Example("other", QUESTION, CONTEXT)], coverage=coverage)
        )
    assert len(answers) == 2
    assert list(coverage.cut) == ["long"]
