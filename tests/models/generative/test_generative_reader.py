"""Loss, saving and loading of the generative reader, and what it says of a wrong directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from support.tiny_models import make_model
from support.writing import collate, log_prob, make_reader, make_window

from qa.engine.errors import UserError
from qa.models.generative.loss import generative_loss
from qa.models.generative.reader import GenerativeReader
from qa.models.part_files import DECODER_FILE
from qa.models.span_reader import SpanReader

pytestmark = [pytest.mark.usefixtures("one_thread")]
WINDOWS = [
    make_window([8, 9, 8, 10, 9], (1, 3)),
    make_window([11, 9]),
    make_window([8, 12, 8], (2, 2)),
    make_window([9, 10, 11, 12, 13, 14], (0, 5)),
]


@pytest.mark.parametrize("kind", ["bert", "roformer"])
@torch.no_grad()
def test_loss_is_the_sum_over_tokens_and_ends(kind: str) -> None:
    reader = make_reader(kind)
    batch = collate(reader, WINDOWS)
    answers = [[9, 8, 10], [], [8], [9, 10, 11, 12, 13, 14]]
    alone = [
        log_prob(reader, window, tokens) for window, tokens in zip(WINDOWS, answers, strict=True)
    ]
    expected = -torch.cat(alone).sum()
    torch.testing.assert_close(generative_loss(reader, batch), expected, rtol=1e-4, atol=1e-4)
    assert batch["num_items"] == sum(len(tokens) + 1 for tokens in answers) == 14
    assert batch["num_windows"] == len(WINDOWS)


@pytest.mark.parametrize("span_loss_weight", [0.0, 0.5])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(span_loss_weight: float) -> None:
    """Divided by the targets of all parts, which have different numbers of them."""
    reader = make_reader("bert", boundaries=True)
    gradients = []
    for parts in ([WINDOWS], [WINDOWS[:1], WINDOWS[1:3], WINDOWS[3:]]):
        reader.zero_grad()
        batches = [collate(reader, part) for part in parts]
        num_items = sum(batch["num_items"] for batch in batches)
        for batch in batches:
            (generative_loss(reader, batch, span_loss_weight) / num_items).backward()
        gradients.append(
            {n: p.grad.clone() for n, p in reader.named_parameters() if p.grad is not None}
        )
    whole, summed = gradients
    assert whole.keys() == summed.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(summed[name], gradient, rtol=1e-3, atol=1e-5)


def test_every_weight_that_is_trained_has_a_gradient() -> None:
    """DDP refuses others."""
    for weight in (0.0, 0.5):
        reader = GenerativeReader(SpanReader(make_model("bert"), True), 1, weight > 0)
        generative_loss(reader, collate(reader, WINDOWS), weight).backward()
        without = [n for n, p in reader.named_parameters() if p.requires_grad and p.grad is None]
        assert without == []


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    from transformers import AutoModelForQuestionAnswering

    reader = make_reader("bert", boundaries=True)
    reader.save_pretrained(tmp_path)
    again = GenerativeReader.from_pretrained(str(tmp_path), require_head=True).eval()
    assert again.new_weights == []
    assert reader.state_dict().keys() == again.state_dict().keys()
    for name, value in reader.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    _, loading = AutoModelForQuestionAnswering.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values())  # encoder and span head, as of a span reader


def test_it_starts_from_a_span_readers_encoder(tmp_path: Path) -> None:
    trained = SpanReader(make_model("bert"))
    trained.save_pretrained(tmp_path)
    reader = GenerativeReader.from_pretrained(str(tmp_path), decoder_layers=3)
    assert reader.new_weights == ["decoder."]
    assert len(reader.decoder.layers.layers) == 3
    for name, value in trained.state_dict().items():
        assert torch.equal(value, reader.state_dict()[f"reader.{name}"]), name
    with pytest.raises(UserError, match="has no trained decoder .* --reader generative"):
        GenerativeReader.from_pretrained(str(tmp_path), require_head=True)


def test_a_damaged_or_foreign_decoder_is_refused(tmp_path: Path) -> None:
    make_reader("bert").save_pretrained(tmp_path / "bert")
    make_reader("electra").save_pretrained(tmp_path / "electra")
    file = tmp_path / "bert" / DECODER_FILE
    file.write_bytes((tmp_path / "electra" / DECODER_FILE).read_bytes())
    with pytest.raises(UserError, match="cannot be loaded as this model's decoder"):
        GenerativeReader.from_pretrained(str(tmp_path / "bert"))
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be loaded as this model's decoder"):
        GenerativeReader.from_pretrained(str(tmp_path / "bert"))


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_whoever_may_read_the_configuration_may_read_the_decoder(
    umask: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        make_reader("bert", boundaries=True).save_pretrained(tmp_path / "reader")
    finally:
        os.umask(before)
    rights = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "reader").iterdir()}
    assert DECODER_FILE in rights
    assert set(rights.values()) == {0o666 & ~umask}
