"""Windows against transformers' own truncation, and labels against a search by characters."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.articles import ARTICLES, BACKBONE, KORQUAD_FILE, squad_json
from support.tokenizers import train_wordpiece, word_tokenizer
from support.windows import PIECES, Case, cases, fuzz, options_for

from qa.data.examples import Example
from qa.data.formats import read_examples
from qa.data.holdout import split_holdout
from qa.data.windows.cut import NO_TRIM, count_slices
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions, check_options, require_fits
from qa.data.windows.template import make_template
from qa.engine.errors import UserError


def cut_like_transformers(tokenizer: Any, example: Example, length: int, overlap: int) -> Any:
    """The windows as `run_qa.py` makes them."""
    return tokenizer(
        example.question,
        example.context,
        truncation="only_second",
        max_length=length,
        stride=overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )


def without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """The part of text[start:end] that stands between its outer blanks."""
    while start < end and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    return start, end


def label_case(tokenizer: Any, case: Case) -> SimpleNamespace:
    """The case's windows, and what a search by characters finds out about its answer.

    Returns:
        a, b: Start and end of the answer, in characters, without outer blanks.
        spans: (start, end) characters of every token of the context.
        touching: The tokens that cover one of the answer's characters.
        windows: Those of `iterate_windows`.
        slices: The tokens of the context in each window, as a range.
    """
    example = case.example
    a, b = without_blanks(
        example.context,
        example.answer_starts[0],
        example.answer_starts[0] + len(example.answers[0]),
    )
    encoding = tokenizer(example.context, add_special_tokens=False, return_offsets_mapping=True)
    spans = [without_blanks(example.context, *span) for span in encoding["offset_mapping"]]
    touching = [i for i, (start, end) in enumerate(spans) if max(start, a) < min(end, b)]
    windows = list(iterate_windows([example], tokenizer, options_for(tokenizer, case)))
    step = case.capacity - case.overlap
    starts = [i * step for i in range(len(windows))]
    slices = [range(start, min(start + case.capacity, len(spans))) for start in starts]
    return SimpleNamespace(a=a, b=b, spans=spans, touching=touching, windows=windows, slices=slices)


@given(case=cases())
@fuzz
def test_windows_equal_the_tokenizers_own(any_tokenizer: Any, case: Case) -> None:
    options = options_for(any_tokenizer, case)
    windows = list(iterate_windows([case.example], any_tokenizer, options))
    expected = cut_like_transformers(
        any_tokenizer, case.example, options.max_seq_length, options.window_overlap
    )
    assert [w["input_ids"].tolist() for w in windows] == expected["input_ids"]
    if "token_type_ids" in any_tokenizer.model_input_names:
        assert [w["token_type_ids"].tolist() for w in windows] == expected["token_type_ids"]
    else:
        assert not any("token_type_ids" in w for w in windows)
    for number, window in enumerate(windows):
        parts = expected.sequence_ids(number)
        assert window["length"] == len(parts) == len(window["offset_starts"])
        for part, offset, start, end in zip(
            parts,
            expected["offset_mapping"][number],
            window["offset_starts"],
            window["offset_ends"],
            strict=True,
        ):
            if part != 1:
                assert (start, end) == (-1, -1)
                continue
            wanted = without_blanks(case.example.context, *offset)
            if wanted[0] < wanted[1]:
                assert (start, end) == wanted
            else:  # nothing but blanks, or nothing at all
                assert start == end


@given(case=cases())
@fuzz
def test_label_covers_the_answer_and_no_token_more(any_tokenizer: Any, case: Case) -> None:
    found = label_case(any_tokenizer, case)
    for window in found.windows:
        first, last = window["start_position"], window["end_position"]
        if not window["has_answer"]:
            assert (first, last) == (0, 0)
            continue
        starts, ends = window["offset_starts"], window["offset_ends"]
        assert 0 < first <= last < window["length"]
        # Characters of the answer that no token covers cannot be asked for.
        for character in range(found.a, found.b):
            if any(start <= character < end for start, end in found.spans):
                assert starts[first] <= character < ends[last]
        for token in (first, last):
            assert max(starts[token], found.a) < min(ends[token], found.b)


@given(case=cases())
@fuzz
def test_trims_cut_the_labelled_tokens_to_the_answer(any_tokenizer: Any, case: Case) -> None:
    """To the first and the last of its characters that a token covers, usually all of them."""
    found = label_case(any_tokenizer, case)
    covered = [
        character
        for character in range(found.a, found.b)
        if any(start <= character < end for start, end in found.spans)
    ]
    for window in found.windows:
        trims = (window["start_trim"], window["end_trim"])
        if not window["has_answer"]:
            assert trims == (NO_TRIM, NO_TRIM)
            continue
        first, last = window["start_position"], window["end_position"]
        starts, ends = window["offset_starts"], window["offset_ends"]
        assert 0 <= trims[0] < ends[first] - starts[first]
        assert 0 <= trims[1] < ends[last] - starts[last]
        start, end = starts[first] + trims[0], ends[last] - trims[1]
        assert (start, end) == (covered[0], covered[-1] + 1)
        if len(covered) == found.b - found.a:
            assert case.example.context[start:end] == case.example.answers[0].strip()


def test_trims_of_a_particle_and_of_a_bracket() -> None:
    """One token for each word: what stands before and behind the answer is counted."""
    tokenizer = word_tokenizer("강나루는 (1921년)에 《먼 불빛》을 썼다.")
    context = "강나루는 (1921년)에 《먼 불빛》을 썼다."
    expected = {
        "강나루": (0, 1),
        "1921년": (1, 2),
        "먼 불빛": (1, 2),
        "썼다.": (0, 0),
        "루": (2, 1),
    }
    for answer, trims in expected.items():
        example = Example("0", "강나루는", context, (answer,), (context.index(answer),))
        (window,) = iterate_windows([example], tokenizer, WindowOptions(20, 2, 5))
        assert (window["start_trim"], window["end_trim"]) == trims


@given(case=cases())
@fuzz
def test_window_with_every_token_of_the_answer_has_it(any_tokenizer: Any, case: Case) -> None:
    found = label_case(any_tokenizer, case)
    for window, tokens in zip(found.windows, found.slices, strict=True):
        if found.touching and all(token in tokens for token in found.touching):
            assert window["has_answer"]


@given(case=cases())
@fuzz
def test_answer_no_longer_than_the_overlap_is_in_some_window(
    any_tokenizer: Any, case: Case
) -> None:
    found = label_case(any_tokenizer, case)
    if found.touching and found.touching[-1] - found.touching[0] + 1 <= case.overlap:
        assert any(window["has_answer"] for window in found.windows)


def test_answer_that_ends_in_a_character_no_token_covers() -> None:
    """An uncased BERT drops combining marks; é, written as two characters, is still found."""
    context = "e\u0301강나루"
    case = Case(Example("0", "강나루", context, ("e\u0301",), (0,)), capacity=1, overlap=0)
    found = label_case(train_wordpiece(lowercase=True), case)
    assert found.touching == [0]
    assert found.windows[0]["has_answer"]


def test_answer_that_begins_with_a_character_no_token_covers() -> None:
    """BERT drops control characters such as the zero-width space, which web pages are full of."""
    tokenizer = train_wordpiece(lowercase=False)
    context = "년 \u200b강나루"
    capacity = len(tokenizer.tokenize("강나루"))
    example = Example("0", "강나루", context, ("\u200b강나루",), (2,))
    found = label_case(tokenizer, Case(example, capacity, overlap=capacity - 1))
    assert found.touching == list(found.slices[1])
    assert found.windows[1]["has_answer"]


def test_fuzzed_texts_hold_every_kind_of_window(any_tokenizer: Any) -> None:
    """The pieces alone make windows with and without answer, several of them, and blank tokens."""
    context = "".join(PIECES)
    case = Case(Example("0", "누구?", context, ("년",), (context.index("년"),)), 12, 5)
    found = label_case(any_tokenizer, case)
    assert len(found.windows) > 2
    assert {window["has_answer"] for window in found.windows} == {True, False}
    assert [list(s) for s in found.slices][-1][-1] == len(found.spans) - 1


def test_label_at_the_ends_of_the_context(any_tokenizer: Any) -> None:
    context = "  강나루는 1921년에 태어났다.\u3000"
    for answer in ("강나루", "태어났다.", context):
        example = Example("0", "누구?", context, (answer,), (context.index(answer),))
        (window,) = iterate_windows([example], any_tokenizer, WindowOptions(200, 10, 50))
        start = window["offset_starts"][window["start_position"]]
        end = window["offset_ends"][window["end_position"]]
        assert window["has_answer"]
        assert context[start:end].startswith(answer.strip()[:3])
        assert answer.strip() in context[start:end]


def test_blanks_around_an_answer_do_not_move_its_label(any_tokenizer: Any) -> None:
    context = "강나루는 1921년에 태어났다."
    bare = Example("0", "언제?", context, ("1921년",), (5,))
    padded = Example("1", "언제?", context, (" 1921년",), (4,))
    windows = list(iterate_windows([bare, padded], any_tokenizer, WindowOptions(200, 10, 50)))
    positions = [(w["start_position"], w["end_position"]) for w in windows]
    assert positions[0] == positions[1]
    assert positions[0] != (0, 0)


def test_only_the_first_answer_is_the_label(tokenizer: Any) -> None:
    context = ARTICLES[0][1]
    starts = (context.index("1947년"), context.index("1921년"))
    example = Example("0", "언제?", context, ("1947년", "1921년"), starts)
    (window,) = iterate_windows([example], tokenizer, WindowOptions(150, 10, 20))
    assert window["offset_starts"][window["start_position"]] == starts[0]


def test_example_without_answer_has_windows_without_label(tokenizer: Any) -> None:
    example = Example("0", "언제?", ARTICLES[0][1])
    windows = list(iterate_windows([example], tokenizer, WindowOptions(20, 5, 10)))
    assert len(windows) > 1
    assert not any(window["has_answer"] for window in windows)


def test_long_question_keeps_its_end_and_is_flagged(any_tokenizer: Any) -> None:
    """The end, where Korean asks; all windows of the example are flagged."""
    context = "강나루는 1921년에 태어났다."
    question = "강나루가 태어난 해는 언제인가? " * 5
    length = len(any_tokenizer(question, add_special_tokens=False)["input_ids"])
    example = Example("0", question, context, ("1921년",), (5,))
    whole, cut, short = (
        list(iterate_windows([example], any_tokenizer, options))
        for options in (
            WindowOptions(400, 10, length),
            WindowOptions(400, 10, length - 1),
            WindowOptions(400, 10, 4),
        )
    )
    assert [w["question_was_cut"] for w in (*whole, *cut, *short)] == [False, True, True]
    ids = any_tokenizer(question, add_special_tokens=False)["input_ids"]
    prefix = len(make_template(any_tokenizer).prefix)
    assert short[0]["input_ids"][prefix : prefix + 4].tolist() == ids[-4:]
    assert short[0]["length"] == whole[0]["length"] - (length - 4)
    assert short[0]["has_answer"]


def test_short_question_leaves_more_capacity_for_the_context(any_tokenizer: Any) -> None:
    context = "가 나 다 라 마 바 사 아 자 차 카 타 파 하 " * 5
    special = make_template(any_tokenizer).num_special
    examples = [Example("0", "가", context), Example("1", "가 나 다 라 마 바", context)]
    windows = list(iterate_windows(examples, any_tokenizer, WindowOptions(20 + special, 4, 15)))
    full = [w for w in windows if w["length"] == 20 + special]
    assert {w["example_index"] for w in full} == {0, 1}
    assert max(w["length"] for w in windows) == 20 + special
    assert sum(w["example_index"] == 0 for w in windows) < sum(
        w["example_index"] == 1 for w in windows
    )


def test_many_examples_come_in_order_over_calls(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More examples than one tokenizer call: the same windows as one by one."""
    monkeypatch.setattr("qa.data.windows.tokens.EXAMPLES_PER_CALL", 256)
    contexts = [context for _, context, _ in ARTICLES]
    examples = [Example(str(i), f"{i} 해는?", contexts[i % 6]) for i in range(600)]
    options = WindowOptions(40, 10, 16)
    windows = list(iterate_windows(examples, tokenizer, options))
    index = [window["example_index"] for window in windows]
    assert index == sorted(index)
    assert set(index) == set(range(600))
    for i in (0, 255, 256, 511, 512, 599):
        alone = [
            w["input_ids"].tolist() for w in iterate_windows([examples[i]], tokenizer, options)
        ]
        together = [w["input_ids"].tolist() for w in windows if w["example_index"] == i]
        assert together == alone


def slices_one_by_one(num_tokens: int, capacity: int, overlap: int) -> list[tuple[int, int]]:
    """Slide over the tokens until a slice ends at the last one."""
    slices = [(0, min(capacity, num_tokens))]
    while slices[-1][1] < num_tokens:
        start = slices[-1][0] + capacity - overlap
        slices.append((start, min(start + capacity, num_tokens)))
    return slices


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=8), st.integers(0, 8))
def test_number_of_slices(sizes: list[tuple[int, int]], overlap: int) -> None:
    sizes = [(num_tokens, overlap + more) for num_tokens, more in sizes]
    num_tokens, capacity = np.array(sizes, dtype=int).reshape(-1, 2).T
    expected = [len(slices_one_by_one(*size, overlap)) for size in sizes]
    assert count_slices(num_tokens, capacity, overlap).tolist() == expected


def test_overlap_as_large_as_the_capacity_is_refused(any_tokenizer: Any) -> None:
    special = make_template(any_tokenizer).num_special
    options = WindowOptions(max_seq_length=50, window_overlap=50 - 20 - special)
    options = replace(options, max_question_length=20)
    with pytest.raises(UserError, match=f"room for context, which is {30 - special} tokens"):
        check_options(options, any_tokenizer)
    check_options(replace(options, window_overlap=options.window_overlap - 1), any_tokenizer)


def test_question_as_long_as_the_window_is_refused(tokenizer: Any) -> None:
    with pytest.raises(UserError, match="window_overlap 0 must be smaller than the room"):
        require_fits(tokenizer, None, WindowOptions(20, 0, 20))


def test_windows_longer_than_the_model_are_refused(tokenizer: Any) -> None:
    with pytest.raises(UserError, match="max_seq_length 384 is more than the 160 tokens"):
        require_fits(tokenizer, 160, WindowOptions())
    require_fits(tokenizer, 384, WindowOptions())
    require_fits(tokenizer, None, WindowOptions())


def test_slow_tokenizer_is_refused() -> None:
    with pytest.raises(UserError, match="needs a fast one"):
        make_template(SimpleNamespace(is_fast=False))


def test_template_is_read_off(any_tokenizer: Any) -> None:
    template = make_template(any_tokenizer)
    tokens = [
        any_tokenizer.convert_ids_to_tokens(part)
        for part in (template.prefix, template.middle, template.suffix)
    ]
    if "token_type_ids" in any_tokenizer.model_input_names:
        assert tokens == [["[CLS]"], ["[SEP]"], ["[SEP]"]]
        assert template.type_ids == ([0], 0, [0], 1, [1])
    else:
        assert tokens == [["<s>"], ["</s>", "</s>"], ["</s>"]]
        assert template.type_ids is None


def test_every_answer_of_the_small_file_is_labelled(any_tokenizer: Any) -> None:
    """One article at a time: the label's text holds the answer."""
    for article in squad_json()["data"]:
        (paragraph,) = article["paragraphs"]
        for qa in paragraph["qas"]:
            (answer,) = qa["answers"]
            example = Example(
                qa["id"],
                qa["question"],
                paragraph["context"],
                (answer["text"],),
                (answer["answer_start"],),
            )
            (window,) = iterate_windows([example], any_tokenizer, WindowOptions(400, 50, 64))
            start = window["offset_starts"][window["start_position"]]
            end = window["offset_ends"][window["end_position"]]
            assert answer["text"] in paragraph["context"][start:end]
            assert len(paragraph["context"][start:end].split()) == len(answer["text"].split())


@pytest.mark.korquad
def test_windows_of_korquad() -> None:
    """Windows and windows with the answer, counted with transformers' truncation and labels."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BACKBONE)
    training, held_out = split_holdout(read_examples(str(KORQUAD_FILE)), 0.2)
    counts = {}
    for name, examples in (("training", training), ("held out", held_out)):
        windows = list(iterate_windows(examples, tokenizer, WindowOptions(384, 128)))
        counts[name] = len(windows), sum(window["has_answer"] for window in windows)
    assert counts == {"training": (5525, 4673), "held out": (1813, 1374)}
