"""Merging candidates, their probabilities, and the whole way from windows to answers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.answering import answer_block
from support.articles import ARTICLES

from qa.answering.answerer import Answerer
from qa.answering.blocks import make_blocks
from qa.answering.nbest import CharacterScores, add_spans, rank_answers
from qa.answering.options import DecodeOptions
from qa.data.batches.collate import Collator
from qa.data.batches.evaluation_batches import CPU_BATCH_TOKENS
from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.engine.precision import Precision
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

CONTEXT = "가나다라마바사아자차"
WINDOWS = WindowOptions(max_seq_length=24, window_overlap=5, max_question_length=10)


def test_span_of_two_windows_counts_once_with_its_best_score() -> None:
    merged: CharacterScores = {}
    add_spans(merged, [3.0, 2.0], [4, 0], [6, 2])
    add_spans(merged, [4.0, 1.0], [4, 7], [6, 8])
    add_spans(merged, [0.5], [4], [6])  # worse than what is there
    assert merged == {(4, 6): 4.0, (0, 2): 2.0, (7, 8): 1.0}
    answers = rank_answers(CONTEXT, merged, 10)
    assert [(a.text, a.start, a.end, a.score) for a in answers] == [
        ("마바", 4, 6, 4.0),
        ("가나", 0, 2, 2.0),
        ("아", 7, 8, 1.0),
    ]


def test_order_of_windows_does_not_matter() -> None:
    calls = [([3.0], [4], [6]), ([4.0], [4], [6])]
    found: list[CharacterScores] = [{}, {}]
    for merged, order in zip(found, (calls, calls[::-1]), strict=True):
        for call in order:
            add_spans(merged, *call)
    assert found[0] == found[1] == {(4, 6): 4.0}


def test_impossible_spans_are_left_out() -> None:
    merged: CharacterScores = {}
    add_spans(merged, [1.0, -math.inf, -math.inf], [0, -1, 3], [2, -1, 4])
    assert merged == {(0, 2): 1.0}
    assert rank_answers(CONTEXT, {}, 5) == []


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 1e30])
def test_probabilities_are_the_softmax_of_the_candidates(shift: float) -> None:
    scores = np.array([2.5, 2.0, 0.0, -1.5, -30.0]) + shift
    merged = {(i, i + 1): float(score) for i, score in enumerate(scores)}
    answers = rank_answers(CONTEXT, merged, 4)
    weights = np.exp(scores[:4] - scores[:4].max())
    expected = weights / weights.sum()
    assert [a.probability for a in answers] == pytest.approx(expected.tolist())
    assert sum(a.probability for a in answers) == pytest.approx(1)


def test_equal_scores_in_the_order_of_the_text() -> None:
    merged = {(5, 6): 1.0, (0, 3): 1.0, (0, 1): 1.0, (2, 3): 2.0}
    answers = rank_answers(CONTEXT, merged, 3)
    assert [(a.start, a.end) for a in answers] == [(2, 3), (0, 1), (0, 3)]
    assert answers[1].probability == answers[2].probability


# From windows to answers


def make_reader(directory: Path) -> SpanReader:
    """The tiny encoder with a seeded head, large enough that its scores are not all alike."""
    torch.manual_seed(5)
    reader = SpanReader.from_pretrained(str(directory)).eval()
    torch.nn.init.normal_(reader.model.qa_outputs.weight, std=1.0)
    return reader


def make_examples() -> list[Example]:
    """Two questions each about short contexts, and one about a long context."""
    examples = [
        Example(f"{number}-{i}", question, context, (answer,), (context.index(answer),))
        for number, (_, context, pairs) in enumerate(ARTICLES)
        for i, (question, answer) in enumerate(pairs)
    ]
    long_context = " ".join(context for _, context, _ in ARTICLES)
    return [*examples, Example("long", "솔뫼산의 높이는?", long_context)]


def make_answerer(reader: SpanReader, batch_size: int) -> Answerer:
    device, longest = torch.device("cpu"), WINDOWS.max_seq_length
    return Answerer(
        reader,
        Collator(longest, *reader.batch_form(device, longest, trains=False)),
        DecodeOptions(n_best_size=7, max_answer_length=4),
        Precision("fp32", device),
        batch_size,
    )


@torch.no_grad()
def answers_one_by_one(model: Any, tokenizer: Any, example: Example) -> list[tuple[Any, ...]]:
    """Oracle: transformers' windows and model, every pair of tokens, no batch, no padding."""
    encoded = tokenizer(
        example.question,
        example.context,
        truncation="only_second",
        max_length=WINDOWS.max_seq_length,
        stride=WINDOWS.window_overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    best: dict[tuple[int, int], float] = {}
    for i, ids in enumerate(encoded["input_ids"]):
        types = torch.tensor([encoded["token_type_ids"][i]])
        out = model(input_ids=torch.tensor([ids]), token_type_ids=types)
        tokens = [t for t, part in enumerate(encoded.sequence_ids(i)) if part == 1]
        for first in tokens:
            for last in range(first, min(first + 4, tokens[-1] + 1)):
                offsets = encoded["offset_mapping"][i]
                key = (offsets[first][0], offsets[last][1])
                score = float(out.start_logits[0, first] + out.end_logits[0, last])
                score -= float(out.start_logits[0, 0] + out.end_logits[0, 0])
                best[key] = max(score, best.get(key, -math.inf))
    ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))[:7]
    return [(example.context[s:e], s, e, score) for (s, e), score in ranked]


@pytest.mark.parametrize("batch_size", [1, 8])
def test_answers_equal_those_found_one_by_one(
    batch_size: int, encoder_dir: Path, tokenizer: Any, tmp_path: Path
) -> None:
    from transformers import AutoModelForQuestionAnswering

    reader = make_reader(encoder_dir)
    reader.save_pretrained(tmp_path)
    model = AutoModelForQuestionAnswering.from_pretrained(tmp_path).eval()
    examples = make_examples()
    windows = list(iterate_windows(examples, tokenizer, WINDOWS))
    answerer = make_answerer(reader, batch_size)
    found = answer_block(answerer, examples, windows)
    assert found.num_windows == len(windows) > 2 * len(examples)
    for example, answers in zip(examples, found.answers, strict=True):
        expected = answers_one_by_one(model, tokenizer, example)
        assert [a.score for a in answers] == pytest.approx([e[3] for e in expected], abs=1e-4)
        assert [(a.text, a.start, a.end) for a in answers] == [e[:3] for e in expected]
        assert sum(a.probability for a in answers) == pytest.approx(1)


def test_cpu_batches_have_few_sizes_and_are_full(encoder_dir: Path, tokenizer: Any) -> None:
    """What is compiled for a size is kept, so a long evaluation must not bring ever new sizes."""
    windows = list(iterate_windows(make_examples(), tokenizer, WINDOWS)) * 3
    reader = make_reader(encoder_dir)
    sizes = []
    reader.model.get_input_embeddings().register_forward_pre_hook(
        lambda _, inputs: sizes.append(inputs[0].numel())
    )
    answerer = make_answerer(reader, 1000)
    answer_block(answerer, make_examples(), windows)
    total = sum(int(window["length"]) for window in windows)
    assert total > CPU_BATCH_TOKENS
    assert sizes[:-1] == [CPU_BATCH_TOKENS] * (total // CPU_BATCH_TOKENS)
    assert total <= sum(sizes) < total + CPU_BATCH_TOKENS / 8


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_a_model_that_pads_gives_the_same_answers(
    batch_size: int, encoder_dir: Path, tokenizer: Any
) -> None:
    examples = make_examples()
    windows = list(iterate_windows(examples, tokenizer, WINDOWS))
    packed = make_answerer(make_reader(encoder_dir), 8)
    padding = make_answerer(make_reader(encoder_dir), batch_size)
    assert isinstance(padding.model, SpanReader)
    padding.model.model.set_attn_implementation("sdpa")
    padding.model.is_packed, padding.collator.pads = False, True
    of_packed = answer_block(packed, examples, windows, computes_loss=True)
    of_padding = answer_block(padding, examples, windows, computes_loss=True)
    for expected, answers in zip(of_packed.answers, of_padding.answers, strict=True):
        assert [(a.start, a.end) for a in answers] == [(a.start, a.end) for a in expected]
        scores = [a.score for a in expected]
        assert [a.score for a in answers] == pytest.approx(scores, abs=1e-4)
    assert of_padding.loss_sum == pytest.approx(of_packed.loss_sum, rel=1e-5)


def test_blocks_may_start_anywhere(encoder_dir: Path, tokenizer: Any) -> None:
    """A later block, whose example_index does not start at 0, gives the same answers."""
    examples = make_examples()
    windows = list(iterate_windows(examples, tokenizer, WINDOWS))
    answerer = make_answerer(make_reader(encoder_dir), 4)
    whole = answer_block(answerer, examples, windows).answers
    later = answer_block(
        answerer, examples, [window for window in windows if window["example_index"] >= 5]
    )
    assert later.part == slice(5, len(examples))
    assert [[(a.start, a.end) for a in answers] for answers in later.answers] == [
        [(a.start, a.end) for a in answers] for answers in whole[5:]
    ]


def test_loss_is_that_of_each_window(encoder_dir: Path, tokenizer: Any) -> None:
    """Compared with transformers' loss, window by window, where no padding disturbs it."""
    reader = make_reader(encoder_dir)
    windows = list(iterate_windows(make_examples(), tokenizer, WINDOWS))
    answerer = make_answerer(reader, 5)
    found = answer_block(answerer, make_examples(), windows, computes_loss=True)
    expected = 0.0
    with torch.no_grad():
        for window in windows:
            out = reader.model(
                input_ids=torch.tensor(window["input_ids"][None], dtype=torch.long),
                token_type_ids=torch.tensor(window["token_type_ids"][None], dtype=torch.long),
                start_positions=torch.tensor([window["start_position"]]),
                end_positions=torch.tensor([window["end_position"]]),
            )
            expected += float(out.loss)
    assert found.loss_sum == pytest.approx(expected, rel=1e-5)
    assert answer_block(answerer, make_examples(), windows).loss_sum == 0.0  # not asked for


def test_context_that_no_token_covers_has_no_answer(encoder_dir: Path, tokenizer: Any) -> None:
    example = Example("0", "누구?", "\u3000 ")
    windows = list(iterate_windows([example], tokenizer, WINDOWS))
    answerer = make_answerer(make_reader(encoder_dir), 4)
    assert answer_block(answerer, [example], windows).answers == [[]]


def test_blocks_hold_whole_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qa.answering.blocks.WINDOWS_PER_BLOCK", 4)
    counts = [1, 2, 3, 1, 9, 1, 1]
    windows = [{"example_index": i, "n": n} for i, count in enumerate(counts) for n in range(count)]
    found = list(make_blocks(iter(windows)))
    assert [window for block in found for window in block] == windows
    assert [[w["example_index"] for w in block] for block in found] == [
        [0, 1, 1, 2, 2, 2],
        [3, *[4] * 9],
        [5, 6],
    ]
    assert list(make_blocks(iter([]))) == []
