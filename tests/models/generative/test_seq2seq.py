"""Pretrained encoder-decoders, tiny random ones, against transformers' own loss and generate()."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_models import VOCAB_SIZE
from support.writing import QUESTION, Window, collate, make_window

from qa.answering.finders import make_finder
from qa.answering.options import DecodeOptions
from qa.engine.errors import UserError
from qa.models.generative.free import write_freely
from qa.models.generative.loss import generative_loss
from qa.models.generative.search import search
from qa.models.generative.seq2seq import Seq2SeqReader
from qa.models.model_io import model_inputs
from qa.models.readers import load_reader

pytestmark = [pytest.mark.usefixtures("one_thread")]
WINDOWS = [
    make_window([8, 9, 8, 10, 9], (1, 3)),
    make_window([11, 9]),
    make_window([8, 12, 8], (2, 2)),
]
LONGEST = 3


def make_seq2seq(kind: str) -> Any:
    """A tiny model of transformers', in evaluation mode."""
    import transformers as t

    torch.manual_seed(3)
    if kind == "t5":
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
        ids = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
        config = t.T5Config(vocab_size=VOCAB_SIZE, initializer_factor=3.0, **sizes, **ids)
        return t.T5ForConditionalGeneration(config).eval()
    config = t.BartConfig(
        vocab_size=VOCAB_SIZE,
        init_std=0.3,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
    )
    return t.BartForConditionalGeneration(config).eval()


@pytest.fixture(params=["t5", "bart"])
def reader(request: pytest.FixtureRequest) -> Seq2SeqReader:
    return Seq2SeqReader(make_seq2seq(request.param)).eval()


def ids_of(window: Window) -> torch.Tensor:
    return torch.from_numpy(window["input_ids"])[None].long()


@torch.no_grad()
def own_score(reader: Seq2SeqReader, window: Window, tokens: list[int]) -> float:
    """Minus transformers' own loss of an answer and its end."""
    labels = torch.tensor([[*tokens, reader.end_id]])
    return -float(reader.model(input_ids=ids_of(window), labels=labels).loss) * labels.shape[1]


@torch.no_grad()
def test_loss_is_that_of_transformers(reader: Seq2SeqReader) -> None:
    batch = collate(reader, WINDOWS)
    answers: list[list[int]] = [[9, 8, 10], [], [8]]
    expected = -sum(own_score(reader, w, a) for w, a in zip(WINDOWS, answers, strict=True))
    assert float(generative_loss(reader, batch)) == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_the_likeliest_piece_is_found(reader: Seq2SeqReader) -> None:
    reading = reader.read(**model_inputs(collate(reader, WINDOWS)))
    places = reading.input_ids, reading.in_context, reading.covers
    found = search(reader.writer(reading), *places, 5, LONGEST, beam=100)
    for row, window in enumerate(WINDOWS):
        ids = window["input_ids"].tolist()
        ends = range(QUESTION, len(ids))
        pieces = [ids[i : j + 1] for i in ends for j in ends if i <= j < i + LONGEST]
        best = max(own_score(reader, window, piece) for piece in pieces)
        null = own_score(reader, window, [])
        assert float(found.scores[row, 0]) == pytest.approx(best - null, abs=1e-3)
        start, end = int(found.starts[row, 0]), int(found.ends[row, 0])
        assert own_score(reader, window, ids[start : end + 1]) == pytest.approx(best, abs=1e-3)


@torch.no_grad()
def test_free_answers_are_those_of_generate(reader: Seq2SeqReader) -> None:
    reading = reader.read(**model_inputs(collate(reader, WINDOWS)))
    places = reading.input_ids, reading.in_context, reading.covers
    found = write_freely(reader.writer(reading), *places, LONGEST)
    options = {"max_new_tokens": LONGEST, "min_new_tokens": 1, "do_sample": False, "num_beams": 1}
    for row, window in enumerate(WINDOWS):
        out = reader.model.generate(
            ids_of(window), forced_bos_token_id=None, forced_eos_token_id=None, **options
        )[0, 1:]
        expected = [i for i in out.tolist() if i != reader.end_id]
        assert [i for i in found.token_ids[row].tolist() if i >= 0] == expected


def test_it_is_trained_saved_and_loaded(reader: Seq2SeqReader, tmp_path: Path) -> None:
    from transformers import AutoModelForSeq2SeqLM

    optimizer = torch.optim.AdamW(reader.parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = generative_loss(reader, collate(reader, WINDOWS))
        loss.backward()
        losses.append(float(loss.detach()))
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.7 * losses[0]
    reader.save_pretrained(tmp_path)
    again = load_reader(str(tmp_path), True, {"decoder_layers": 2}, require_head=True)
    assert isinstance(again, Seq2SeqReader)
    for name, value in reader.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    _, loading = AutoModelForSeq2SeqLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())


def test_a_model_that_names_no_end_is_refused() -> None:
    model = make_seq2seq("t5")
    model.config.eos_token_id = None
    with pytest.raises(UserError, match="eos_token_id"):
        Seq2SeqReader(model)


@pytest.mark.parametrize("option", [{"decoder_layers": 3}, {"trains_span_head": True}])
def test_what_its_own_decoder_has_not_is_refused(
    option: dict[str, Any], reader: Seq2SeqReader, tmp_path: Path
) -> None:
    reader.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="leave out decoder_layers and span_loss_weight"):
        load_reader(str(tmp_path), True, option)


def test_answers_longer_than_its_positions_are_refused() -> None:
    bart, t5 = (Seq2SeqReader(make_seq2seq(kind)) for kind in ("bart", "t5"))
    assert bart.max_length == 64
    make_finder(bart, DecodeOptions(max_answer_length=63))
    with pytest.raises(UserError, match="max_answer_length 64: the decoder has positions for 64"):
        make_finder(bart, DecodeOptions(max_answer_length=64))
    make_finder(t5, DecodeOptions(max_answer_length=64))
