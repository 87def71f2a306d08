"""Mending: what was broken in a known way comes back as it was; nothing is guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.articles import article_examples
from support.offsets import measured

from qa.data.doctor.mend import (
    COMPOSED,
    EMPTY,
    NO_PLACE,
    ONLY_PLACE,
    SEVERAL_PLACES,
    mend_examples,
    to_squad,
)
from qa.data.examples import Example
from qa.data.formats import check_examples, read_examples
from qa.data.offsets import UNITS

GOOD = article_examples()


def decomposed(example: Example) -> Example:
    """The example as macOS would have written it, with offsets of the decomposed text."""
    (start,) = example.answer_starts
    return replace(
        example,
        question=normalize("NFD", example.question),
        context=normalize("NFD", example.context),
        answers=(normalize("NFD", example.answers[0]),),
        answer_starts=(len(normalize("NFD", example.context[:start])),),
        title=normalize("NFD", example.title),
    )


def in_unit(example: Example, unit: str) -> Example:
    starts = tuple(measured(example.context, start, unit) for start in example.answer_starts)
    return replace(example, answer_starts=starts)


def test_nothing_to_mend() -> None:
    mended = mend_examples(GOOD)
    assert mended.examples == GOOD
    assert not mended.changed
    assert (mended.num_answers, mended.num_misplaced, mended.unit) == (12, 0, None)


@pytest.mark.parametrize("unit", UNITS)
def test_a_file_in_another_unit(unit: str) -> None:
    new_line = "\r\n" if "r" in unit else "\n"
    examples = []
    for example in GOOD:
        (start,) = example.answer_starts
        added = f"😀{new_line}" if unit.startswith("UTF") else new_line
        examples.append(
            replace(
                example,
                context=added + example.context,
                answer_starts=(start + len(added),),
            )
        )
    mended = mend_examples([in_unit(example, unit) for example in examples])
    assert mended.examples == examples
    assert mended.unit == unit
    assert mended.num_misplaced == 12
    assert mended.answers == {f"moved: answer_start counted {unit}": 12}


def test_offsets_that_are_right_by_chance() -> None:
    """나 is meant at character 1, byte 3; character 3 is 나 as well."""
    chance = Example("c", "?", "가나다나루", ("나",), (1,))
    examples = [*GOOD, chance]
    mended = mend_examples([in_unit(example, "UTF-8 bytes") for example in examples])
    assert in_unit(chance, "UTF-8 bytes").answer_starts == (3,)
    assert mended.examples == examples
    # In a file whose other offsets count characters, it stays where it is.
    alone = Example("c", "?", "가나다나루", ("나",), (3,))
    other = Example("d", "?", "가나다나루", ("루",), (4,))
    mended = mend_examples([*(in_unit(e, "UTF-8 bytes") for e in GOOD), alone, other])
    assert mended.examples == [*GOOD, alone, other]


contexts = st.text(st.sampled_from("가나다 .\n"), min_size=8, max_size=40)


@given(
    contexts=st.lists(contexts, min_size=1, max_size=3),
    first=st.integers(-9, 9).filter(bool),
    data=st.data(),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_file_that_counts_from_another_number(
    contexts: list[str], first: int, data: st.DataObject
) -> None:
    """Three answers that stand once tell the unit; others may stand anywhere, and often."""
    examples = [
        Example(f"s{i}", "?", "하나 두울 세엣", (t,), (s,))
        for i, (t, s) in enumerate([("하나", 0), ("두울", 3), ("세엣", 6)])
    ]
    for number, context in enumerate(contexts):
        start = data.draw(st.integers(0, len(context) - 1))
        text = context[start : data.draw(st.integers(start + 1, len(context)))]
        if text.strip():
            examples.append(Example(str(number), "?", context, (text,), (start,)))
    wrong = [replace(e, answer_starts=(e.answer_starts[0] + first,)) for e in examples]
    mended = mend_examples(wrong)
    assert mended.unit == f"characters from {first}"
    assert mended.examples == examples


def test_a_constant_moves_only_what_is_wrong() -> None:
    """The first means 0. The others stand right, the second by chance if all counted from 1."""
    examples = [
        Example("a", "?", "나, 나", ("나",), (1,)),
        Example("b", "?", "가나나", ("나",), (2,)),
        Example("c", "?", "가나다", ("다",), (2,)),
    ]
    shifted = [replace(e, answer_starts=(e.answer_starts[0] + 1,)) for e in GOOD]
    mended = mend_examples([*shifted, *examples])
    assert mended.unit == "characters from 1"
    assert mended.examples == [*GOOD, replace(examples[0], answer_starts=(0,)), *examples[1:]]
    mended = mend_examples([*shifted, *examples[:2]])
    assert [e.answer_starts for e in mended.examples[-2:]] == [(0,), (1,)]


def stripped(context: str, blanks: int, answers: list[tuple[str, int]]) -> list[Example]:
    """A context that lost its first blanks after its answers were found; offsets as they were."""
    return [
        Example(f"{context[:2]}{n}", "?", context, (text,), (start + blanks,))
        for n, (text, start) in enumerate(answers)
    ]


def test_contexts_that_lost_their_first_blanks() -> None:
    """As in SQuAD 2.0 on the hub for a while: each context has its own constant, or none."""
    context = "나루와 강나루, 푸른골과 나루터"
    places = [("나루", 5), ("나루", 14), ("푸른골", 9)]
    one = stripped(context, 1, places[:2])
    two = stripped(f"둘 {context}", 3, [(text, start + 2) for text, start in places])
    mended = mend_examples([*GOOD, *one, *two])
    assert mended.unit == "characters from 3"  # 3 of 5
    assert mended.examples[:12] == GOOD
    assert [e.answer_starts for e in mended.examples[12:]] == [(5,), (14,), (7,), (16,), (11,)]
    assert mended.answers == {
        "moved: answer_start counted characters from 1": 2,
        "moved: answer_start counted characters from 3": 3,
    }


def test_a_constant_of_one_context_must_explain_all_of_it() -> None:
    """One answer alone, or one that does not fit, leaves it open which 나루 is meant."""
    context = "나루와 강나루, 푸른골과 나루터"
    for answers in ([("나루", 5)], [("나루", 5), ("나루", 14), ("없다", 0)]):
        mended = mend_examples([*GOOD, *stripped(context, 2, answers)])
        assert mended.examples == GOOD
        assert mended.answers[SEVERAL_PLACES] == sum(text == "나루" for text, _ in answers)


@given(st.lists(st.integers(-3, 60), min_size=14, max_size=14), st.sets(st.integers(0, 13)))
@settings(deadline=None, derandomize=True, max_examples=300)
def test_many_questions_about_one_context(starts: list[int], wrong: set[int]) -> None:
    """Each word stands once, so whatever the offsets of some are, all come to their places."""
    words = [f"{letter}{letter}." for letter in "가나다라마바사아자차카타파하"]
    context = " ".join(words)
    right = [Example(w, "?", context, (w,), (context.index(w),)) for w in words]
    broken = [
        replace(e, answer_starts=(starts[n],)) if n in wrong else e for n, e in enumerate(right)
    ]
    mended = mend_examples(broken)
    assert mended.examples == right
    assert mended.num_misplaced == sum(
        e.answer_starts != b.answer_starts for e, b in zip(right, broken, strict=True)
    )


@pytest.mark.parametrize("nfc_offsets", [False, True])
def test_decomposed_files(nfc_offsets: bool) -> None:
    examples = [decomposed(example) for example in GOOD]
    if nfc_offsets:
        examples = [
            replace(old, answer_starts=new.answer_starts)
            for old, new in zip(examples, GOOD, strict=True)
        ]
    mended = mend_examples(examples)
    assert mended.examples == GOOD
    assert mended.decomposed == 12
    moved = sum(example.answer_starts != (0,) for example in GOOD)
    assert mended.answers == ({COMPOSED: moved} if nfc_offsets else {})
    assert mended.changed


def test_an_answer_inside_a_syllable_goes_to_its_only_place() -> None:
    """In NFD 솔뫼사 is also the beginning of 솔뫼산, where str.find finds it."""
    (good,) = (example for example in GOOD if example.answers == ("솔뫼사",))
    example = decomposed(good)
    wrong = replace(example, answer_starts=(example.context.index(example.answers[0]),))
    assert wrong.answer_starts < example.answer_starts
    mended = mend_examples([wrong])
    assert mended.examples == [good]
    assert mended.answers == {ONLY_PLACE: 1}


def test_answers_one_by_one() -> None:
    context = "나루와 강나루, 푸른골과 한여울"

    def example(example_id: str, text: str, start: int) -> Example:
        return Example(example_id, "?", context, (text,), (start,))

    examples = [
        example("fine", "나루", 5),
        example("once", "푸른골", 0),
        example("blanks", " 한여울\n", 14),
        example("twice", "나루", 3),
        example("overlapping", "나", -1),
        example("nowhere", "없다", 0),
        example("empty", " ", 0),
        Example("both", "?", context, ("나루", "푸른골", "없다"), (0, 3, 5)),
        Example("unanswered", "?", context),
    ]
    mended = mend_examples(examples)
    both = Example("both", "?", context, ("나루", "푸른골"), (0, 9))
    assert mended.examples == [
        example("fine", "나루", 5),
        example("once", "푸른골", 9),
        example("blanks", "한여울", 14),
        Example("empty", "?", context),
        both,
        Example("unanswered", "?", context),
    ]
    assert mended.affected == {
        ONLY_PLACE: ["once", "blanks", "both"],
        SEVERAL_PLACES: ["twice", "overlapping"],
        NO_PLACE: ["nowhere", "both"],
        EMPTY: ["empty"],
    }
    assert {what: len(ids) for what, ids in mended.affected.items()} == mended.answers
    assert mended.questions_left_out == 3
    assert mended.unit is None


def test_answers_that_are_moved_to_one_place_are_one() -> None:
    example = Example("1", "?", "가나다", ("나", "나 ", "가"), (1, 0, 0))
    mended = mend_examples([example])
    assert mended.examples == [replace(example, answers=("나", "가"), answer_starts=(1, 0))]
    assert dict(mended.answers) == {ONLY_PLACE: 1}


def test_the_unit_must_explain_half_of_the_wrong_offsets() -> None:
    """The text stands twice, so that only the unit can tell which one is meant."""
    context = "가 나루 나루"
    assert measured(context, 2, "UTF-8 bytes") == 4

    def example(example_id: str, start: int) -> Example:
        return Example(example_id, "?", context, ("나루",), (start,))

    mended = mend_examples([example("a", 4), example("b", 3)])
    assert mended.unit == "UTF-8 bytes"
    assert mended.examples == [example("a", 2)]
    mended = mend_examples([example("a", 4), example("b", 3), example("c", -1)])
    assert mended.unit is None
    assert mended.examples == []
    assert mended.answers == {SEVERAL_PLACES: 3}


def test_ids() -> None:
    one, two = GOOD[0], GOOD[1]
    same_id = replace(two, id=one.id)
    taken = replace(two, id=f"{one.id}-2")
    mended = mend_examples([one, same_id, taken, same_id])
    assert [e.id for e in mended.examples] == ["0-0", "0-0-3", "0-0-2", "0-0-4"]
    assert mended.ids_renamed == 2
    check_examples(mended.examples, "mended")


texts = st.text(st.sampled_from("가나 \n\r😀\u1100\u1161\u11a8"), max_size=12)
randoms = st.builds(
    Example,
    id=st.sampled_from(["1", "2", "1-2"]),
    question=st.sampled_from(["?", normalize("NFD", "누구")]),
    context=texts,
)


@given(examples=st.lists(st.tuples(randoms, texts, st.integers(-2, 30)), max_size=5))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_whatever_is_broken_what_comes_out_can_be_used(
    examples: list[tuple[Example, str, int]],
) -> None:
    broken = [replace(e, answers=(text,), answer_starts=(start,)) for e, text, start in examples]
    mended = mend_examples(broken)
    check_examples(mended.examples, "mended")
    assert len(mended.examples) == len(broken) - mended.questions_left_out
    assert mend_examples(mended.examples).examples == mended.examples


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["가나", "다라"]), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
@settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_squad_files_hold_the_same(rows: list[tuple[str, str, bool]], tmp_path: Path) -> None:
    examples = [
        Example(str(i), "?", context, (context[0],) * answered, (0,) * answered, title)
        for i, (title, context, answered) in enumerate(rows)
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(to_squad(examples)))
    assert read_examples(str(path)) == examples
    titles = [article["title"] for article in to_squad(examples)["data"]]
    assert all(a != b for a, b in zip(titles, titles[1:], strict=False))


characters = st.text(st.sampled_from('가나 \n\r\t😀\u200b\u2028"\\{<éA'), min_size=1, max_size=12)
words = characters.filter(lambda text: bool(text.strip()))


@st.composite
def whole_examples(draw: st.DrawFn) -> Example:
    """Any example that a file can hold: its answers stand in its context, or there are none."""
    context = draw(words)
    spans = draw(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 12)), max_size=3))
    found = [(context[start:][:length], start) for start, length in spans]
    found = [(text, start) for text, start in found if text.strip()]
    return Example(
        id=draw(words),
        question=draw(words).strip(),
        context=context,
        answers=tuple(text for text, _ in found),
        answer_starts=tuple(start for _, start in found),
        title=draw(st.just("") | characters),
        reference_answers=tuple(draw(st.just([]) | st.lists(words, max_size=2))),
    )


@given(examples=st.lists(whole_examples(), min_size=1, max_size=6))
@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_mended_file_reads_back_as_the_same(examples: list[Example], tmp_path: Path) -> None:
    mended = mend_examples(examples)
    assert {e.id for e in examples} <= {e.id for e in mended.examples}
    path = tmp_path / "mended.json"
    path.write_text(json.dumps(to_squad(mended.examples)), encoding="utf-8")
    found = read_examples(str(path))
    assert [e.gold_answers for e in found if set(e.gold_answers) != set(e.answers)] == [
        e.gold_answers for e in mended.examples if set(e.gold_answers) != set(e.answers)
    ]
    assert [replace(e, reference_answers=()) for e in found] == [
        replace(e, reference_answers=()) for e in mended.examples
    ]
