"""Batches in flight: what is found is as if one came after the other, and two fly at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.answering import answer_block
from support.articles import article_examples

from qa.answering.answerer import Answerer
from qa.answering.blocks import make_blocks
from qa.answering.in_flight import BatchInFlight, BlockInFlight, send_results
from qa.answering.options import DecodeOptions
from qa.data.batches.collate import Collator
from qa.data.windows.iterate import iterate_windows
from qa.data.windows.options import WindowOptions
from qa.engine.precision import Precision
from qa.models.span_decode import Spans
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

WINDOWS = WindowOptions(max_seq_length=24, window_overlap=5, max_question_length=10)


def make_answerer(directory: Path, device: str = "cpu") -> Answerer:
    """A tiny reader with heads of random weights, in batches of a few windows."""
    torch.manual_seed(5)
    reader = SpanReader.from_pretrained(str(directory), boundaries=True).eval().to(device)
    torch.nn.init.normal_(reader.model.qa_outputs.weight, std=1.0)
    precision = Precision("fp32", torch.device(device))
    return Answerer(reader, Collator(24), DecodeOptions(7, 4), precision, batch_size=3)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, each of several batches."""
    monkeypatch.setattr("qa.answering.blocks.WINDOWS_PER_BLOCK", 8)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_are_answered_as_each_by_itself(encoder_dir: Path, tokenizer: Any) -> None:
    examples = article_examples()
    answerer = make_answerer(encoder_dir)
    blocks = list(make_blocks(iterate_windows(examples, tokenizer, WINDOWS)))
    assert len(blocks) > 2
    found = list(answerer.answer_blocks(examples, blocks, computes_loss=True))
    for block, windows in zip(found, blocks, strict=True):
        alone = answer_block(answerer, examples, windows, computes_loss=True)
        assert (block.part, block.num_windows) == (alone.part, len(windows))
        assert (block.answers, block.loss_sum) == (alone.answers, alone.loss_sum)
    assert [i for block in found for i in range(len(examples))[block.part]] == [
        *range(len(examples))
    ]


def test_a_block_without_windows_has_no_answers(encoder_dir: Path, tokenizer: Any) -> None:
    """As a process has it for which the last blocks are too few."""
    examples = article_examples()
    windows = list(iterate_windows(examples, tokenizer, WINDOWS))
    answerer = make_answerer(encoder_dir)
    empty, whole, none = answerer.answer_blocks(examples, [[], windows, []])
    assert (empty.answers, empty.loss_sum, empty.num_windows) == ([], 0.0, 0)
    assert whole.answers == answer_block(answerer, examples, windows).answers
    assert (none.answers, examples[none.part]) == ([], [])
    assert list(answerer.answer_blocks(examples, [])) == []


@pytest.mark.usefixtures("small_blocks")
def test_two_batches_are_in_flight_and_never_three(
    encoder_dir: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a block ends."""
    answerer = make_answerer(encoder_dir)
    read, events = BatchInFlight.read, ""

    def submit(*_: Any) -> None:
        nonlocal events
        events += "s"

    def read_too(batch: BatchInFlight) -> None:
        nonlocal events
        events += "r"
        read(batch)

    answerer.model.register_forward_pre_hook(submit)
    monkeypatch.setattr(BatchInFlight, "read", read_too)
    examples = article_examples()
    windows = iterate_windows(examples, tokenizer, WINDOWS)
    num_blocks = len(list(answerer.answer_blocks(examples, make_blocks(windows))))
    num_batches = events.count("s")
    assert num_batches > num_blocks > 2
    assert events == "s" + "sr" * (num_batches - 1) + "r"


@pytest.mark.usefixtures("small_blocks")
def test_whoever_takes_the_answers_keeps_gradients(encoder_dir: Path, tokenizer: Any) -> None:
    examples = article_examples()
    blocks = make_blocks(iterate_windows(examples, tokenizer, WINDOWS))
    for _ in make_answerer(encoder_dir).answer_blocks(examples, blocks):
        assert torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")


@given(data=st.data())
def test_spans_arrive_as_they_were_found(data: st.DataObject) -> None:
    """Characters are counted from the tokens' offsets, minus what both trims leave out."""
    num_windows, num_spans, width = (data.draw(st.integers(1, 4)) for _ in range(3))
    shape = (num_windows, num_spans)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    scores = rng.normal(size=shape).astype(np.float32)
    scores[rng.random(shape) < 0.2] = -np.inf
    tokens = rng.integers(0, width, (2, *shape))
    trims = rng.integers(0, 3, (2, *shape))
    offsets = rng.integers(0, 10**9, (2, num_windows, width))
    spans = Spans(*map(torch.from_numpy, (scores, *tokens, *trims)))
    results = send_results(spans, torch.tensor(1.25))
    block = BlockInFlight(slice(5, 5 + num_windows), num_windows)
    BatchInFlight(block, range(num_windows)[::-1], offsets, results, 1.0, 3.0).read()
    assert (block.loss_sum, block.decode_seconds >= 2.0) == (1.25, True)
    for window, merged in enumerate(reversed(block.merged)):
        expected: dict[tuple[int, int], float] = {}
        for n in range(num_spans):
            start = int(offsets[0, window, tokens[0, window, n]] + trims[0, window, n])
            end = int(offsets[1, window, tokens[1, window, n]] - trims[1, window, n])
            score = float(scores[window, n])
            if score > expected.get((start, end), -np.inf):
                expected[start, end] = score
        assert merged == expected


@pytest.mark.cuda
@pytest.mark.usefixtures("small_blocks")
def test_a_gpu_is_waited_for_only_where_results_are_read(
    encoder_dir: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their event, which is no sync that torch's check forbids; found is what a CPU finds."""
    examples = article_examples()
    blocks = list(make_blocks(iterate_windows(examples, tokenizer, WINDOWS)))
    answerer = make_answerer(encoder_dir, "cuda")
    waits: list[Any] = []
    synchronize = torch.cuda.Event.synchronize

    def wait(event: Any) -> None:
        waits.append(event)
        synchronize(event)

    monkeypatch.setattr(torch.cuda.Event, "synchronize", wait)
    batches: list[Any] = []
    list(answerer.answer_blocks(examples, blocks, computes_loss=True))  # sets libraries up
    answerer.model.register_forward_pre_hook(lambda *inputs: batches.append(inputs))
    waits.clear()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = list(answerer.answer_blocks(examples, blocks, computes_loss=True))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waits) == len(batches) > len(blocks)
    expected = make_answerer(encoder_dir).answer_blocks(examples, blocks, computes_loss=True)
    for on_gpu, on_cpu in zip(found, expected, strict=True):
        assert on_gpu.loss_sum == pytest.approx(on_cpu.loss_sum, rel=1e-3)
        assert on_gpu.decode_seconds > 0
        for answers, others in zip(on_gpu.answers, on_cpu.answers, strict=True):
            scores = [answer.score for answer in others]
            assert [answer.score for answer in answers] == pytest.approx(scores, abs=1e-3)
