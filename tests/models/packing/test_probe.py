"""Packed windows against transformers' own forward on padded ones, and when not to pack."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_models import (
    MAX_LENGTH,
    PACKED_KINDS,
    PADDED_KINDS,
    logits_of,
    make_model,
    make_windows,
    packed,
    padded,
)
from torch.nn import functional as F

from qa.engine.errors import UserError
from qa.engine.precision import Precision
from qa.models.loss import span_loss
from qa.models.packing import attention
from qa.models.packing.attention import segment_attention
from qa.models.packing.byte_dropout import ByteDropout
from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.probe import two_windows
from qa.models.packing.segments import Scratch, Segments
from qa.models.packing.trial import PACKED_TOLERANCE
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = [40, 7, 1, 33]
assert sum(LENGTHS) > MAX_LENGTH  # the packed axis may be longer than any window
STARTS, ENDS = torch.tensor([3, 2, 0, 32]), torch.tensor([5, 6, 0, 32])
# fp32 rounds at 6e-8; logits and gradients are of order 1, and two layers one way or both make
# about 2e-6 of it. One token of another window in sight makes more than 1e-2.
FP32: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}
# bf16 rounds at 4e-3: by itself it moves these logits by up to 0.05.
BF16_LOGITS = 0.1


class Result(NamedTuple):
    logits: torch.Tensor
    loss: torch.Tensor
    gradients: dict[str, torch.Tensor]


def run(model: Any, with_types: bool, bf16: bool = False) -> Result:
    """Logits, loss and parameter gradients of a SpanReader or of transformers' model."""
    windows = make_windows(LENGTHS, with_types=with_types)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = logits_of(model, windows).float()
        loss = span_loss(logits[0], logits[1], STARTS, ENDS)
    loss.backward()
    gradients = {
        name.removeprefix("model."): parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    assert gradients
    return Result(logits.detach(), loss.detach(), gradients)


def make_pair(kind: str) -> tuple[Any, SpanReader]:
    """The model of transformers, and a SpanReader that holds a copy of it."""
    model = make_model(kind)
    return model, SpanReader(copy.deepcopy(model)).eval()


def takes_types(model: Any) -> bool:
    return getattr(model.config, "type_vocab_size", 0) > 1


@pytest.mark.parametrize("kind", PACKED_KINDS)
def test_packed_equals_padded_within_rounding(kind: str) -> None:
    model, reader = make_pair(kind)
    assert reader.is_packed
    for with_types in {False, takes_types(model)}:
        expected, actual = run(model, with_types), run(reader, with_types)
        torch.testing.assert_close(actual.logits, expected.logits, **FP32)
        torch.testing.assert_close(actual.loss, expected.loss, rtol=1e-5, atol=0)
        assert actual.gradients.keys() == expected.gradients.keys()
        for name, gradient in actual.gradients.items():
            torch.testing.assert_close(gradient, expected.gradients[name], **FP32)


@pytest.mark.parametrize("kind", PACKED_KINDS)
def test_packed_equals_padded_in_bf16(kind: str) -> None:
    model, reader = make_pair(kind)
    expected, actual = run(model, False, bf16=True), run(reader, False, bf16=True)
    torch.testing.assert_close(actual.logits, expected.logits, rtol=0, atol=BF16_LOGITS)
    torch.testing.assert_close(actual.loss, expected.loss, rtol=1e-2, atol=0)
    flat = [
        torch.cat([result.gradients[name].flatten() for name in expected.gradients])
        for result in (actual, expected)
    ]
    assert float(F.cosine_similarity(flat[0], flat[1], 0)) > 0.999
    assert float(flat[0].norm() / flat[1].norm()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", PADDED_KINDS)
def test_models_with_an_attention_of_their_own_stay_padded_and_equal(kind: str) -> None:
    model, reader = make_pair(kind)
    assert not reader.is_packed
    assert reader.model.config._attn_implementation == model.config._attn_implementation
    for with_types in {False, takes_types(model)}:
        expected, actual = run(model, with_types), run(reader, with_types)
        assert torch.equal(actual.logits, expected.logits)
        assert torch.equal(actual.loss, expected.loss)
        assert actual.gradients.keys() == expected.gradients.keys()
        for name, gradient in actual.gradients.items():  # summed in another order
            torch.testing.assert_close(gradient, expected.gradients[name], rtol=1e-5, atol=1e-6)


def test_padding_that_is_looked_for_is_the_models_own() -> None:
    """MBART's decoder looks for where it begins."""
    model, reader = make_pair("mbart")
    assert model.config.pad_token_id == 1
    assert not reader.is_packed
    assert not reader.is_alone
    windows = make_windows(LENGTHS)
    with torch.no_grad():
        assert torch.equal(logits_of(reader, windows), logits_of(model, windows))


def test_windows_of_a_model_that_sees_padding_are_never_padded() -> None:
    """ConvBERT's convolutions reach into it."""
    model, reader = make_pair("convbert")
    assert reader.is_alone
    windows = make_windows([40, 7, 7, 1, 33, 7])
    with torch.no_grad():
        together = logits_of(reader, windows)
        for i, window in enumerate(windows):
            length = len(window["input_ids"])
            alone = logits_of(reader, [window])[:, 0]
            torch.testing.assert_close(together[:, i, :length], alone, **FP32)
            torch.testing.assert_close(alone, logits_of(model, [window])[:, 0], **FP32)
        padded_logits = logits_of(model, windows)[:, 1, :7]
    assert not torch.allclose(padded_logits, together[:, 1, :7], rtol=1e-3)


@pytest.fixture(scope="module")
def bert_pair() -> tuple[Any, SpanReader]:
    """A model and its SpanReader, for tests that do not change them."""
    return make_pair("bert")


@settings(deadline=None, max_examples=30)
@given(
    lengths=st.lists(st.integers(1, MAX_LENGTH), min_size=1, max_size=6), seed=st.integers(0, 99)
)
def test_each_window_scores_as_if_it_were_alone(
    bert_pair: tuple[Any, SpanReader], lengths: list[int], seed: int
) -> None:
    model, reader = bert_pair
    windows = make_windows(lengths, seed, with_types=True)
    with torch.no_grad():
        logits = logits_of(reader, windows)
        for i, (window, length) in enumerate(zip(windows, lengths, strict=True)):
            alone = logits_of(model, [window])[:, 0]
            torch.testing.assert_close(logits[:, i, :length], alone, **FP32)
            assert bool(logits[:, i, length:].isneginf().all())


@pytest.mark.parametrize("kind", [*PACKED_KINDS, *PADDED_KINDS])
def test_another_windows_tokens_change_nothing(kind: str) -> None:
    reader = SpanReader(make_model(kind)).eval()
    windows, others = make_windows([9, 14, 6]), make_windows([9, 14, 6], seed=1)
    with torch.no_grad():
        before = logits_of(reader, windows)
        after = logits_of(reader, [windows[0], others[1], windows[2]])
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1], rtol=1e-2)


@pytest.mark.parametrize("kind", PACKED_KINDS)
def test_transformers_own_forward_is_left_as_it_was(kind: str) -> None:
    model, reader = make_pair(kind)
    batch = padded(make_windows(LENGTHS), model.config.pad_token_id)
    with torch.no_grad():
        for inputs in (batch, {"input_ids": batch["input_ids"][:1]}):
            expected, actual = model(**inputs), reader.model(**inputs)
            assert torch.equal(actual.start_logits, expected.start_logits)
            assert torch.equal(actual.end_logits, expected.end_logits)


# When not to pack


def attend_everywhere(*args: Any, **kwargs: Any) -> Any:
    """Attention that ignores where windows end."""
    query, key, value = args[1:4]
    if kwargs.get("segments") is None:
        return attention.segment_attention(*args, **kwargs)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2), None


@pytest.mark.parametrize("kind", PACKED_KINDS)
def test_windows_that_see_each_other_are_not_packed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AttentionInterface

    model = make_model(kind)
    monkeypatch.setattr(
        attention,
        "register",
        lambda: AttentionInterface.register(attention.NAME, attend_everywhere),
    )
    try:
        reader = SpanReader(copy.deepcopy(model)).eval()
    finally:
        AttentionInterface.register(attention.NAME, attention.segment_attention)
    assert not reader.is_packed
    assert reader.model.config._attn_implementation == model.config._attn_implementation
    with torch.no_grad():
        windows = make_windows(LENGTHS)
        assert torch.equal(logits_of(reader, windows), logits_of(model, windows))


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_wrong_positions_are_not_packed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = SpanReader(make_model(kind)).first_position
    assert first == (2 if kind == "roberta" else 0)
    monkeypatch.setattr(SpanReader, "first_position", first + 1)
    assert not SpanReader(make_model(kind)).is_packed


def test_models_that_mix_neighbours_are_not_packed() -> None:
    assert not SpanReader(make_model("convbert")).is_packed


@pytest.mark.parametrize("kind", PACKED_KINDS)
def test_rounding_is_far_below_the_tolerance(kind: str) -> None:
    model, reader = make_pair(kind)
    batch = two_windows(model)
    assert model.config.pad_token_id not in batch["input_ids"].tolist()
    windows = [{"input_ids": ids} for ids in batch["input_ids"].split(batch["lengths"])]
    with torch.no_grad():
        expected, actual = logits_of(model, windows), torch.stack(reader(**batch)[:2])
    is_token = expected.isfinite()
    difference = (actual - expected)[is_token].abs().max()
    assert float(difference) < PACKED_TOLERANCE / 5 * float(expected[is_token].abs().max())


# Training


@pytest.mark.parametrize("kind", PACKED_KINDS)
def test_dropout_is_seeded_and_reaches_the_attention(kind: str) -> None:
    reader = SpanReader(make_model(kind)).train()
    assert not any(type(module) is torch.nn.Dropout for module in reader.modules())
    assert any(isinstance(module, ByteDropout) for module in reader.modules())
    seen = []

    def spy(*args: Any) -> torch.Tensor:
        seen.append(args[5])
        return attend_on_cpu(*args)

    reader.attend["cpu"] = spy

    @torch.no_grad()
    def logits(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return logits_of(reader, make_windows(LENGTHS))

    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))
    assert set(seen) == {0.1}
    seen.clear()
    reader.eval()
    assert torch.equal(logits(1), logits(2))
    assert set(seen) == {0.0}


def test_rotary_positions_in_fp32_attend_in_the_format_of_the_values() -> None:
    """As EuroBERT's and NomicBERT's under autocast; the backward pass runs without it."""
    torch.manual_seed(0)
    lengths = [5, 3]
    batch = packed(make_windows(lengths))
    query, key, value = (torch.randn(1, 2, sum(lengths), 4) for _ in range(3))

    def attended(dtype: torch.dtype) -> list[torch.Tensor]:
        inputs = [
            query.to(torch.bfloat16).to(dtype).requires_grad_(),
            key.to(torch.bfloat16).to(dtype).requires_grad_(),
            value.to(torch.bfloat16).requires_grad_(),
        ]
        segments = Segments(
            batch["slots"], batch["shape"], Scratch(), attend_on_cpu, batch["lengths"]
        )
        with torch.autocast("cpu", torch.bfloat16):
            out, _ = segment_attention(
                torch.nn.Module(), inputs[0], inputs[1], inputs[2], None, segments=segments
            )
        out.float().square().sum().backward()
        return [out, *(each.grad for each in inputs if each.grad is not None)]

    found, expected = attended(torch.float32), attended(torch.bfloat16)
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.to(torch.bfloat16), other)


def test_a_model_that_cannot_be_run_in_a_format_is_one_line() -> None:
    """As DeBERTa of transformers in bf16 (its issue 35332), found before any batch is made."""
    model = make_model("bert")
    layer = model.bert.encoder.layer[0]

    def overflow(*_: Any) -> None:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("value cannot be converted to type c10::BFloat16 without overflow")

    reader = SpanReader(model)
    layer.register_forward_pre_hook(overflow)
    reader.prepare(Precision("fp32", torch.device("cpu")))
    with pytest.raises(UserError, match=r"cannot be run in bf16 \(value cannot be .*fp32"):
        reader.prepare(Precision("bf16", torch.device("cpu")))
