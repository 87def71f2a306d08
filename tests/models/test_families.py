"""A dozen families from checkpoint to reloaded model, as benchmarks/families.py tries all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_models import logits_of, make_windows

from benchmarks.families import make_tokenizer, try_family
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

PACKED, PADDED, ALONE = "packed", "padded", "alone"
FAMILIES = {
    "bert": PACKED,
    "electra": PACKED,
    "xlm-roberta": PACKED,
    "modernbert": PACKED,
    "deberta-v2": PADDED,
    "big_bird": PADDED,
    "llama": PADDED,
    "t5": PADDED,
    "nomic_bert": PACKED,
    "gemma3_text": PACKED,
    "longformer": PADDED,
    "fnet": ALONE,
    "funnel": ALONE,
    "convbert": ALONE,
}
WITHOUT_CLASS = {"t5", "nomic_bert", "gemma3_text", "longformer"}


@pytest.fixture(scope="module")
def quickstart_tokenizer() -> Any:
    return make_tokenizer()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family(family: str, quickstart_tokenizer: Any, tmp_path: Path) -> None:
    result = try_family(family, quickstart_tokenizer, tmp_path)
    assert result.reason == ""
    assert result.verdict == "right"
    assert result.windows == FAMILIES[family]
    assert result.head.endswith("WithSpanHead") is (family in WITHOUT_CLASS)


def test_reformer_is_refused_since_it_cannot_be_trained(
    quickstart_tokenizer: Any, tmp_path: Path
) -> None:
    result = try_family("reformer", quickstart_tokenizer, tmp_path)
    assert result.verdict == "refused"
    assert "runs, but not in training" in result.reason


def test_local_attention_is_packed_exactly_beyond_its_reach(tmp_path: Path) -> None:
    """Windows longer than what ModernBERT's local layers see, which the first trial's are not."""
    import transformers as t

    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2}
    config = t.ModernBertConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
        initializer_range=0.3,
        local_attention=16,
        global_attn_every_n_layers=2,
        sep_token_id=2,
        **ids,
    )
    model = t.ModernBertForQuestionAnswering(config).eval()
    windows = make_windows([100, 7, 1, 61, 16, 17])
    expected = logits_of(model, windows)
    expected.masked_fill(expected.isinf(), 0).square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    reader = SpanReader(model).eval()
    assert reader.is_packed
    actual = logits_of(reader, windows)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    actual.masked_fill(actual.isinf(), 0).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        scale = float(gradients[name].abs().max())
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=0, atol=1e-4 * scale)
