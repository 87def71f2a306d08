"""What is missed, by hand and against a search that looks at each answer and character alone."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.articles import article_examples
from support.tokenizers import train_byte_bpe, train_wordpiece, word_tokenizer
from support.windows import cases, fuzz, options_for, texts

from qa.data.examples import Example
from qa.data.windows.cache import cached_windows, iterate_columns
from qa.data.windows.coverage import Coverage
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.engine.errors import Notice

KINDS = ("unreached", "too_long", "unreadable", "cut", "decomposed")


def covered(
    examples: list[Example], tokenizer: Any, options: WindowOptions, longest: int = 30
) -> Coverage:
    coverage = Coverage(tokenizer, options, longest)
    for _ in iterate_windows(examples, tokenizer, options, coverage):
        pass
    return coverage


def ids(coverage: Coverage) -> dict[str, list[str]]:
    """What was found."""
    return {kind: list(found) for kind in KINDS if (found := getattr(coverage, kind))}


CONTEXT = "가 나 다 라 마 바 사 아"
WORDS = f"{CONTEXT} 누구 언제"
OPTIONS = WindowOptions(max_seq_length=8, window_overlap=2, max_question_length=1)  # 4 of context


@pytest.mark.parametrize(
    ("question", "context", "answers", "expected"),
    [
        ("누구", CONTEXT, ["가 나"], {}),
        ("누구", CONTEXT, ["가 나 다"], {"too_long": ["0"]}),
        ("누구", CONTEXT, ["라 마 바"], {"too_long": ["0"]}),
        ("누구", CONTEXT, ["나 다 라 마 바"], {"unreached": ["0"]}),
        ("누구", CONTEXT, ["나 다 라 마 바", "아"], {}),  # another answer is held
        ("누구", CONTEXT, ["아", "나 다 라 마 바"], {}),
        ("누구 언제", CONTEXT, ["가"], {"cut": ["0"]}),
        ("누구", CONTEXT + " 하나", ["하나"], {"unreadable": ["0"]}),
        ("누구", CONTEXT + " 하나", ["가"], {}),
        ("누구", CONTEXT, [], {}),
    ],
)
def test_by_hand(
    question: str, context: str, answers: list[str], expected: dict[str, list[str]]
) -> None:
    starts = tuple(context.index(answer) for answer in answers)
    example = Example("0", question, context, tuple(answers), starts)
    assert ids(covered([example], word_tokenizer(WORDS), OPTIONS, 2)) == expected


def test_decomposed_questions_and_contexts() -> None:
    nfd = unicodedata.normalize("NFD", CONTEXT)
    tokenizer = word_tokenizer(f"{WORDS} {nfd} {unicodedata.normalize('NFD', '누구')}")
    examples = [
        Example("a", "누구", CONTEXT),
        Example("b", "누구", nfd),
        Example("c", unicodedata.normalize("NFD", "누구"), CONTEXT),
    ]
    assert ids(covered(examples, tokenizer, OPTIONS)) == {"decomposed": ["b", "c"]}


def test_characters_that_no_token_covers() -> None:
    """BERT drops zero-width spaces; one inside a word is between the ends of a token.

    No `window_overlap` helps an answer that is one.
    """
    context = "강\u200b나루 \u200b화가이다 산"
    examples = [
        Example(str(i), "누구", context, (answer,), (context.rindex(answer),))
        for i, answer in enumerate(["강\u200b나루", "\u200b화가", "화가", "산", "\u200b"])
    ]
    coverage = covered(examples, train_wordpiece(lowercase=True), WindowOptions(60, 4, 8))
    assert ids(coverage) == {"unreadable": ["1", "4"]}


def test_lines_name_number_ids_and_what_helps() -> None:
    examples = [
        Example(str(i), "언제 누구", CONTEXT, (answer,), (CONTEXT.index(answer),))
        for i, answer in enumerate(["가 나 다", "나 다", "라 마 바", "마 바 사", "바 사 아", "가"])
    ]
    coverage = covered([*examples, examples[0]], word_tokenizer(WORDS), OPTIONS, 2)
    expected = [
        "4 answers longer than max_answer_length 2, which can never be given (0, 2, 3, ...);"
        " max_answer_length 3 holds all",
        "6 questions cut to their last 1 tokens (max_question_length) (0, 1, 2, ...)",
    ]
    assert coverage.lines() == expected
    with pytest.warns(Notice) as given_notices:
        coverage.give_notices()
    assert [str(each.message) for each in given_notices] == expected
    whole = covered(examples, word_tokenizer(WORDS), replace(OPTIONS, max_question_length=2), 3)
    assert whole.lines() == []


def labelled_alone(example: Example, tokenizer: Any, options: WindowOptions) -> list[list[Any]]:
    """For each answer, the windows that hold it when it is the only one."""
    alone = [
        replace(example, answers=(text,), answer_starts=(start,))
        for text, start in zip(example.answers, example.answer_starts, strict=True)
    ]
    return [
        [w for w in iterate_windows([each], tokenizer, options) if w["has_answer"]]
        for each in alone
    ]


@given(case=cases(), data=st.data(), longest=st.integers(1, 4))
@fuzz
def test_any_text(any_tokenizer: Any, case: Any, data: st.DataObject, longest: int) -> None:
    """Several answers, cut questions, whatever the tokenizer does with the characters."""
    context = case.example.context
    second = data.draw(st.integers(0, len(context) - 1))
    end = data.draw(st.integers(second + 1, min(len(context), second + 8)))
    example = replace(
        case.example,
        answers=(*case.example.answers, context[second:end]),
        answer_starts=(*case.example.answer_starts, second),
    )
    options = options_for(any_tokenizer, case)
    length = options.max_question_length
    options = replace(options, max_question_length=data.draw(st.integers(1, length)))
    coverage = covered([example], any_tokenizer, options, longest)
    first, other = labelled_alone(example, any_tokenizer, options)
    assert bool(coverage.cut) == (options.max_question_length < length)
    lengths = {int(w["end_position"] - w["start_position"]) + 1 for w in first}
    assert bool(coverage.too_long) == any(each > longest for each in lengths)
    assert coverage.longest_answer == max(lengths, default=0)
    start = example.answer_starts[0]
    unknown, holes, nothing = readable(
        any_tokenizer, context, start, start + len(example.answers[0])
    )
    if first or nothing:
        assert not coverage.unreached
    elif has_own_tokens(any_tokenizer, context, second, end):
        assert bool(coverage.unreached) == (not other)
    elif other:  # else an edge of a window that is inside a character counts as its end
        assert not coverage.unreached
    if first:
        assert bool(coverage.unreadable) == (unknown or holes)
    elif not other:
        assert bool(coverage.unreadable) == nothing


def readable(tokenizer: Any, context: str, start: int, end: int) -> tuple[bool, bool, bool]:
    """Whether a part of a text has an unknown token, an uncovered character, and no token."""
    encoding = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
    spans = encoding["offset_mapping"]
    solid = [i for i in range(start, end) if not context[i].isspace()]
    touching = [
        number
        for number, (first, last) in enumerate(spans)
        if any(first <= i < last for i in solid)
    ]
    between = range(touching[0], touching[-1] + 1) if touching else ()
    unknown = any(encoding["input_ids"][number] == tokenizer.unk_token_id for number in between)
    covered_places = {i for first, last in spans for i in range(first, last)}
    return unknown, not set(solid) <= covered_places, not touching


def has_own_tokens(tokenizer: Any, context: str, start: int, end: int) -> bool:
    """Whether one token covers each character, but blanks, of this part of a text."""
    encoding = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
    covering = [
        sum(first <= i < last for first, last in encoding["offset_mapping"])
        for i in range(start, end)
        if not context[i].isspace()
    ]
    return all(number == 1 for number in covering)


@given(questions=st.lists(texts.filter(lambda text: bool(text.strip())), min_size=1, max_size=5))
@fuzz
def test_one_by_one_is_all_together(any_tokenizer: Any, questions: list[str]) -> None:
    """Windows come in parts; nothing is counted twice, or lost, at their edges."""
    base = article_examples()
    examples = [
        replace(base[i % len(base)], id=str(i), question=text.strip())
        for i, text in enumerate(questions)
    ]
    options = WindowOptions(24, 4, 6)
    together = covered(examples, any_tokenizer, options, 2)
    apart = Coverage(any_tokenizer, options, 2)
    for example in examples:
        for _ in iterate_windows([example], any_tokenizer, options, apart):
            pass
    assert ids(together) == ids(apart)


def test_windows_on_disk_are_counted_alike(
    any_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut in many parts."""
    monkeypatch.setattr("qa.data.windows.cut.TOKENS_PER_CUT", 100)
    examples, options = article_examples(), WindowOptions(24, 4, 6)
    stream = covered(examples, any_tokenizer, options, 2)
    stored = Coverage(any_tokenizer, options, 2)
    parts = list(iterate_columns(cached_windows(examples, any_tokenizer, options, tmp_path)))
    assert len(parts) > 3
    for columns in parts:
        stored.add(examples, columns)
    assert ids(stored) == ids(stream)
    assert stored.lines() == stream.lines() != []


def test_a_repeated_question_counts_once() -> None:
    (example, *_) = article_examples()
    tokenizer = train_byte_bpe()
    coverage = covered([example, example], tokenizer, WindowOptions(40, 4, 2))
    assert list(coverage.cut) == [example.id]
