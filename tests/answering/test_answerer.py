"""Answers that begin and end inside tokens, from the boundary head to the text."""

from __future__ import annotations

import itertools
import math
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answering import answer_block
from support.articles import ARTICLES
from support.characters import is_whole
from support.tokenizers import train_byte_bpe, word_tokenizer

import qa.cli.predict
from qa.answering.answerer import Answerer
from qa.answering.nbest import Answer
from qa.answering.options import DecodeOptions
from qa.answering.reader import Reader
from qa.data.batches.collate import Collator
from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.engine.precision import Precision
from qa.models.part_files import BOUNDARY_FILE
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

CONTEXT = "강나루는 (1921년)에 푸른골에서 난 화가로, 시집 《먼 불빛》을 냈다. 다리는 가나 라 한다."
QUESTION = "다리는"
WINDOWS = WindowOptions(max_seq_length=40, window_overlap=4, max_question_length=8)


def make_answerer(
    reader: SpanReader, windows: WindowOptions, n_best: int = 20, longest: int = 4
) -> Answerer:
    options = DecodeOptions(n_best_size=n_best, max_answer_length=longest)
    collator = Collator(windows.max_seq_length, pads=not reader.is_packed)
    return Answerer(reader, collator, options, Precision("fp32", torch.device("cpu")), 3)


# A reader made by hand


@torch.no_grad()
def hand_made(tokenizer: Any, first: str, last: str, trims: dict[str, tuple[int, int]]) -> Reader:
    """A reader that answers from the word `first` to the word `last`, whatever it is asked.

    trims: word -> characters that the head drops at the front and at the end of an answer that
    begins or ends with it. There is no layer between embeddings and heads, and every word has an
    axis of its own.
    """
    from transformers import BertConfig, BertForQuestionAnswering

    size = len(tokenizer)
    config = BertConfig(
        vocab_size=size,
        hidden_size=size,
        num_hidden_layers=0,
        num_attention_heads=1,
        max_position_embeddings=WINDOWS.max_seq_length,
        pad_token_id=0,
    )
    model = BertForQuestionAnswering(config).eval()
    embeddings = model.bert.embeddings
    embeddings.word_embeddings.weight.copy_(torch.eye(size))
    embeddings.position_embeddings.weight.zero_()
    embeddings.token_type_embeddings.weight.zero_()
    model.qa_outputs.weight.zero_()
    model.qa_outputs.weight[0, tokenizer.convert_tokens_to_ids(first)] = 10
    model.qa_outputs.weight[1, tokenizer.convert_tokens_to_ids(last)] = 10
    reader = SpanReader(model, boundaries=True)
    head = reader.boundary_head
    assert head is not None
    head.linear.weight.zero_()
    head.linear.bias.zero_()
    head.linear.bias[[0, head.choices]] = 5  # whole tokens unless a word says otherwise
    for word, wanted in trims.items():
        for side, trim in enumerate(wanted):
            axis = size + tokenizer.convert_tokens_to_ids(word)  # behind the hidden state's
            head.linear.weight[side * head.choices + trim, axis] = 10
    return Reader(make_answerer(reader, WINDOWS), tokenizer, WINDOWS)


HAND_MADE = [
    ("강나루는", "강나루는", {"강나루는": (0, 1)}, "강나루"),
    ("(1921년)에", "(1921년)에", {"(1921년)에": (1, 2)}, "1921년"),
    ("《먼", "불빛》을", {"《먼": (1, 0), "불빛》을": (0, 2)}, "먼 불빛"),
    # What is known of a word at the other end does not matter.
    ("《먼", "불빛》을", {"《먼": (0, 1), "불빛》을": (1, 1)}, "《먼 불빛》"),
    ("푸른골에서", "화가로,", {"화가로,": (3, 2)}, "푸른골에서 난 화가"),
    ("화가로,", "화가로,", {}, "화가로,"),
    ("난", "난", {"난": (1, 1)}, "난"),  # it has no character to spare
    ("푸른골에서", "푸른골에서", {"푸른골에서": (3, 1)}, "에"),
]


@pytest.mark.parametrize(("first", "last", "trims", "expected"), HAND_MADE)
def test_answer_has_the_characters_that_the_head_leaves(
    first: str, last: str, trims: dict[str, tuple[int, int]], expected: str
) -> None:
    reader = hand_made(word_tokenizer(CONTEXT), first, last, trims)
    (answer,) = reader.answer(question=QUESTION, context=CONTEXT)
    assert answer.text == expected
    assert CONTEXT[answer.start : answer.end] == answer.text
    assert answer.start == CONTEXT.index(first) + CONTEXT[CONTEXT.index(first) :].index(expected)
    assert answer.probability > 0.9


def test_one_token_keeps_a_character_though_both_ends_want_it() -> None:
    """가나 without its first or without its last character, but not without both."""
    reader = hand_made(word_tokenizer(CONTEXT), "가나", "가나", {"가나": (1, 1)})
    answers = reader.answer(question=QUESTION, context=CONTEXT, top_k=3)
    assert {answer.text for answer in answers[:2]} == {"가", "나"}
    assert answers[0].score == pytest.approx(answers[1].score)
    assert answers[2].score < answers[1].score - 1


CONTEXTS = [CONTEXT, CONTEXT[::-1], CONTEXT[7:40]]  # with words that it does not know


def found(reader: Reader) -> list[list[Answer]]:
    return reader.answer_many([(QUESTION, context) for context in CONTEXTS], top_k=9)


@pytest.fixture
def reader() -> Reader:
    trims = {"《먼": (1, 0), "불빛》을": (0, 2)}
    return hand_made(word_tokenizer(CONTEXT), "《먼", "불빛》을", trims)


@pytest.fixture
def directory(reader: Reader, tmp_path: Path) -> Path:
    """That reader, saved as train.py does."""
    reader.save_pretrained(str(tmp_path / "reader"))
    return tmp_path / "reader"


def test_saved_reader_answers_as_before(reader: Reader, directory: Path) -> None:
    loaded = Reader.from_pretrained(directory, device="cpu", precision="fp32")
    assert found(loaded) == found(reader)
    assert found(loaded)[0][0].text == "먼 불빛"


def test_directory_without_the_file_answers_by_whole_tokens(directory: Path) -> None:
    (directory / BOUNDARY_FILE).unlink()
    loaded = Reader.from_pretrained(directory, device="cpu", precision="fp32")
    assert found(loaded)[0][0].text == "《먼 불빛》을"
    for context, answers in zip(CONTEXTS, found(loaded), strict=True):
        assert all(set(answer.text.split()) <= set(context.split()) for answer in answers)


def test_predict_uses_the_head(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(directory), "--context", CONTEXT, "--question", QUESTION, "--device", "cpu"]
    assert qa.cli.predict.main(arguments) == 0
    start = CONTEXT.index("먼 불빛")
    place = f"characters {start}-{start + 4}"
    assert capsys.readouterr().out.split("\t")[::2] == ["먼 불빛", f"{place}\n"]


def test_damaged_file_ends_predict_with_one_line(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / BOUNDARY_FILE).write_bytes(b"\0" * 50)
    arguments = [str(directory), "--context", CONTEXT, "--question", QUESTION]
    assert qa.cli.predict.main(arguments) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(f"error: {directory}")
    assert captured.out == ""


# Any reader


def make_reader(tokenizer: Any, boundaries: bool = True, pair_width: int = 0) -> SpanReader:
    """A tiny reader with strong preferences for tokens, for characters and for pairs."""
    from transformers import BertConfig, BertForQuestionAnswering

    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        initializer_range=0.5,
        pad_token_id=tokenizer.pad_token_id,
    )
    reader = SpanReader(BertForQuestionAnswering(config), boundaries, pair_width).eval()
    if reader.pair_head is not None:
        torch.nn.init.normal_(reader.pair_head.last.weight, std=2.0)
        torch.nn.init.normal_(reader.pair_head.lengths.weight, std=0.5)
    if reader.boundary_head is not None:
        torch.nn.init.normal_(reader.boundary_head.linear.weight, std=0.5)
    return reader


@torch.no_grad()
def answers_one_by_one(
    reader: SpanReader, windows: list[Any], longest: int = 4
) -> dict[tuple[int, int], float]:
    """Oracle: every span of characters, by loops, window by window.

    It begins in the first token that covers its first character and ends in the last that covers
    its last one.
    """
    best: dict[tuple[int, int], float] = {}
    for window in windows:
        starts, ends = window["offset_starts"].tolist(), window["offset_ends"].tolist()
        begin, end, front, back, pairs = scores_of(reader, window)
        covering: dict[int, list[int]] = {}
        for token, (a, b) in enumerate(zip(starts, ends, strict=True)):
            for place in range(a, b):
                covering.setdefault(place, []).append(token)
        for a, b in itertools.combinations_with_replacement(sorted(covering), 2):
            i, j = covering[a][0], covering[b][-1]
            dropped, cut = a - starts[i], ends[j] - b - 1
            if j - i < longest and dropped < len(front[i]) and cut < len(back[j]):
                score = begin[i] + end[j] + front[i][dropped] + back[j][cut] - begin[0] - end[0]
                score += pairs[i][j - i] if j - i < len(pairs[i]) else 0.0
                best[a, b + 1] = max(score, best.get((a, b + 1), -math.inf))
    return best


def scores_of(reader: SpanReader, window: Any) -> tuple[list[Any], ...]:
    """The logits of starts and of ends, the trims at the front and at the back, and the pairs."""
    length = window["length"]
    characters = window["offset_ends"] - window["offset_starts"]
    batch = {
        "input_ids": torch.tensor(window["input_ids"].tolist()),
        "slots": torch.arange(length),
        "lengths": [length],
        "shape": (1, length),
        "num_characters": torch.tensor(characters.tolist()),
    }
    if "token_type_ids" in window:
        batch["token_type_ids"] = torch.tensor(window["token_type_ids"].tolist())
    scores = reader(**batch)
    trims = torch.zeros(length, 2, 1) if scores.trims is None else scores.trims[0]
    pairs = torch.zeros(1, length, 0) if scores.pairs is None else scores.pairs
    parts = (scores.start_logits[0], scores.end_logits[0], trims[:, 0], trims[:, 1], pairs[0])
    return tuple(part.tolist() for part in parts)


@pytest.mark.parametrize(
    ("boundaries", "pair_width"), [(True, 0), (False, 0), (True, 4), (True, 2)]
)
def test_answers_equal_those_found_one_by_one(
    boundaries: bool, pair_width: int, any_tokenizer: Any
) -> None:
    reader = make_reader(any_tokenizer, boundaries, pair_width)
    options = WindowOptions(max_seq_length=24, window_overlap=6, max_question_length=12)
    examples = [Example(title, pairs[0][0], context) for title, context, pairs in ARTICLES]
    windows = list(iterate_windows(examples, any_tokenizer, options))
    assert len(windows) > len(examples)
    answerer = make_answerer(reader, options, n_best=15)
    for index, answers in enumerate(answer_block(answerer, examples, windows).answers):
        own = [window for window in windows if window["example_index"] == index]
        expected = answers_one_by_one(reader, own)
        ranked = sorted(expected, key=lambda key: -expected[key])[:15]
        keys = [(answer.start, answer.end) for answer in answers]
        assert keys == ranked
        assert [a.score for a in answers] == pytest.approx([expected[k] for k in keys], abs=1e-3)
        assert [answer.text for answer in answers] == [
            examples[index].context[a:b] for a, b in keys
        ]


@pytest.fixture(scope="module")
def any_reader(any_tokenizer: Any) -> Reader:
    windows = WindowOptions(max_seq_length=32, window_overlap=6, max_question_length=12)
    answerer = make_answerer(make_reader(any_tokenizer), windows)
    return Reader(answerer, any_tokenizer, windows)


def assert_pieces(answers: list[Answer], context: str) -> None:
    """Each is a piece of the context, of whole characters that are seen, and none comes twice."""
    for answer in answers:
        assert 0 <= answer.start < answer.end <= len(context), answer
        assert answer.text == context[answer.start : answer.end]
        assert is_whole(context, answer.start, answer.end), ascii(answer.text)
    assert len({(answer.start, answer.end) for answer in answers}) == len(answers)


PIECES = [
    *[
        "강나루",
        "푸른골에서",
        "1921년",
        "은",
        ".",
        "《먼 불빛》",
        "大韓民國",
        "뷁쫑",
        "Fox",
        "2024",
    ],
    *["\u1100\u1161\u11a8", "\u1107\u116e\u11b0\u110d\u1169\u11bc", "e\u0301", "a\u0308\u0301"],
    *["😀", "👨\u200d👩\u200d👧", "🇰🇷", "ﬁ", "㎏", "½", " ", "\u3000", "\n", "\u200b", "\x00"],
]


@settings(deadline=None, max_examples=40, derandomize=True)
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=15).map("".join))
def test_every_answer_is_a_piece_of_any_context(any_reader: Reader, pieces: str) -> None:
    context = f"가{pieces}"
    assert_pieces(any_reader.answer(question="누구?", context=context, top_k=200), context)


def test_answers_in_decomposed_syllables() -> None:
    """As macOS writes Hangul, with a tokenizer that composes it and then takes bytes."""
    tokenizer = train_byte_bpe(composes=True)
    context = unicodedata.normalize("NFD", "뷁쫑 강나루는 뷁이다")
    assert len(tokenizer.tokenize(context)) > 11
    windows = WindowOptions(max_seq_length=60, window_overlap=6, max_question_length=12)
    answerer = make_answerer(make_reader(tokenizer), windows, longest=12)
    reader = Reader(answerer, tokenizer, windows)
    answers = reader.answer(question="누구?", context=context, top_k=500)
    assert_pieces(answers, context)
    # Every piece of nine syllables, but those longer than 12 tokens.
    assert 40 < len(answers) <= 9 * 10 // 2


@pytest.mark.parametrize("boundaries", [True, False])
@pytest.mark.parametrize("middle", ["é", "e\u0301"])
def test_short_context_gives_all_that_is_in_it(
    middle: str, boundaries: bool, any_tokenizer: Any
) -> None:
    """As many answers as there are spans, if that many are asked for; bytes add no further ones.

    Spans with a part of a character are those with all of it, and their probabilities add up.
    """
    windows = WindowOptions(max_seq_length=60, window_overlap=6, max_question_length=12)
    model = make_reader(any_tokenizer, boundaries)
    answerer = make_answerer(model, windows, longest=12)
    reader = Reader(answerer, any_tokenizer, windows)
    context = f"뷁쫑은 (1921) 년에 {middle}ﬁ㎏ - 다"
    example = Example("0", "누구?", context)
    cut = list(iterate_windows([example], any_tokenizer, windows))
    spans = answers_one_by_one(model, cut, longest=12)
    expected: dict[tuple[int, int], float] = {}
    for (start, end), score in spans.items():
        start -= context[start] == "\u0301"
        end += context[end - 1 : end + 1] == "e\u0301"
        expected[start, end] = expected.get((start, end), 0.0) + math.exp(score)
    assert len(expected) > 20
    for top_k in (len(spans) - 5, len(spans), 10_000):
        answers = reader.answer(question="누구?", context=context, top_k=top_k)
        assert_pieces(answers, context)
        assert {(answer.start, answer.end) for answer in answers} <= expected.keys()
        if middle == "é" or top_k == 10_000:
            assert len(answers) == min(top_k, len(expected))
    for answer in answers:
        share = expected[answer.start, answer.end] / sum(expected.values())
        assert answer.probability == pytest.approx(share, rel=1e-3)
    assert answers == sorted(answers, key=lambda answer: -answer.probability)
