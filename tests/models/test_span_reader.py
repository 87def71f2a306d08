"""The span reader: exchange with transformers, loading and its errors, dropout, lengths."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import tiny_models
from support.tiny_models import PACKED_KINDS, PADDED_KINDS, make_model, make_windows, packed

from qa.engine.errors import UserError
from qa.engine.precision import Precision
from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.segments import Scratch, Segments
from qa.models.pretrained import load_tokenizer
from qa.models.span_reader import SpanReader

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {"vocab_size": 60, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}
# Attention by other kernels than transformers': fp32 rounds at 6e-8, logits are of order 1, and two
# layers make about 1e-6 of it.
ROUNDING: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


@torch.no_grad()
def logits_of(model: Any, with_types: bool = False) -> torch.Tensor:
    """(2, B, T) logits for windows of 12 and 9 tokens, -inf on padding."""
    return tiny_models.logits_of(model, make_windows([12, 9], with_types=with_types))


def rewrite_weights(directory: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Load, change and save a directory's weights."""
    file = directory / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


@pytest.fixture
def bert_dir(tmp_path: Path) -> Path:
    """A tiny BertForQuestionAnswering, saved by transformers."""
    make_model("bert").save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def assert_same_logits(reader: SpanReader, model: Any) -> None:
    """Equal bit for bit unless the SpanReader exchanged the model's attention."""
    bounds = ROUNDING if reader.is_packed else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(logits_of(reader), logits_of(model), **bounds)


@pytest.mark.parametrize("kind", [*PACKED_KINDS, *PADDED_KINDS])
def test_loads_what_transformers_saved(kind: str, tmp_path: Path) -> None:
    model = make_model(kind)
    model.save_pretrained(tmp_path)
    reader = SpanReader.from_pretrained(str(tmp_path), require_head=True).eval()
    assert_same_logits(reader, model)


@pytest.mark.parametrize("kind", [*PACKED_KINDS, *PADDED_KINDS])
def test_transformers_loads_what_it_saved(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForQuestionAnswering

    reader = SpanReader(make_model(kind)).eval()
    reader.save_pretrained(tmp_path / "reader")
    model, loading = AutoModelForQuestionAnswering.from_pretrained(
        tmp_path / "reader", output_loading_info=True
    )
    assert not any(loading.values())
    assert "qa_segments" not in (tmp_path / "reader" / "config.json").read_text()
    assert model.config._attn_implementation == make_model(kind).config._attn_implementation
    assert_same_logits(reader, model.eval())


def test_token_types_reach_the_encoder(bert_dir: Path) -> None:
    model = make_model("bert")
    reader = SpanReader.from_pretrained(str(bert_dir)).eval()
    with_types = logits_of(reader, with_types=True)
    torch.testing.assert_close(with_types, logits_of(model, with_types=True), **ROUNDING)
    assert not torch.allclose(with_types, logits_of(reader), rtol=1e-2)


def test_token_types_of_a_model_that_knows_one_only_are_left_out() -> None:
    """Like klue/roberta, whose tokenizer makes two types."""
    reader = SpanReader(make_model("xlm-roberta")).eval()
    assert torch.equal(logits_of(reader, with_types=True), logits_of(reader))


def test_encoder_without_head_gets_a_seeded_new_one(encoder_dir: Path) -> None:
    from transformers import BertModel

    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        reader = SpanReader.from_pretrained(str(encoder_dir))
        heads.append(reader.model.qa_outputs.weight.detach().clone())
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert heads[0].shape == (2, 32)
    saved = BertModel.from_pretrained(encoder_dir, add_pooling_layer=False).state_dict()
    encoder = reader.model.bert.state_dict()
    assert encoder.keys() == saved.keys()
    assert all(torch.equal(encoder[name], saved[name]) for name in saved)


def test_from_config_is_seeded() -> None:
    from transformers import BertConfig

    config = BertConfig(**SIZES, intermediate_size=32)
    states = []
    for _ in range(2):
        torch.manual_seed(4)
        states.append(SpanReader.from_config(config).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_required_head_is_missed(encoder_dir: Path) -> None:
    with pytest.raises(UserError, match="has no trained span head"):
        SpanReader.from_pretrained(str(encoder_dir), require_head=True)


def test_missing_encoder_weights_are_refused(bert_dir: Path) -> None:
    """A file that lacks more than the head: a missing layer would silently train from noise."""
    lost = "bert.encoder.layer.1.output.dense.weight"
    rewrite_weights(bert_dir, lambda state: {k: v for k, v in state.items() if k != lost})
    with pytest.raises(UserError, match=r"weights are missing, e\.g\. bert\.encoder\.layer\.1"):
        SpanReader.from_pretrained(str(bert_dir))


def test_half_precision_files_load_as_fp32(bert_dir: Path) -> None:
    halves = {name: w.half() for name, w in make_model("bert").state_dict().items()}
    rewrite_weights(bert_dir, lambda state: {name: w.half() for name, w in state.items()})
    config = bert_dir / "config.json"
    config.write_text(config.read_text().replace("float32", "float16"))
    reader = SpanReader.from_pretrained(str(bert_dir))
    assert {parameter.dtype for parameter in reader.parameters()} == {torch.float32}
    for name, weight in reader.model.state_dict().items():
        assert torch.equal(weight, halves[name].to(weight.dtype))


def break_missing(path: Path) -> Path:
    return path / "nowhere"


def break_config(path: Path) -> Path:
    (path / "config.json").unlink()
    return path


def break_weights(path: Path) -> Path:
    (path / "model.safetensors").unlink()
    return path


def break_weights_file(path: Path) -> Path:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    return path


def break_config_file(path: Path) -> Path:
    (path / "config.json").write_text("{not json")
    return path


def break_model_type(path: Path) -> Path:
    (path / "config.json").write_text('{"model_type": "unheard-of"}')
    return path


def break_shape(path: Path) -> Path:
    file = path / "config.json"
    file.write_text(file.read_text().replace('"intermediate_size": 32', '"intermediate_size": 48'))
    return path


def break_to_file(path: Path) -> Path:
    return path / "config.json"


@pytest.mark.parametrize(
    "damage",
    [
        break_missing,
        break_config,
        break_weights,
        break_weights_file,
        break_config_file,
        break_model_type,
        break_shape,
        break_to_file,
    ],
)
def test_directory_that_cannot_be_loaded(damage: Callable[[Path], Path], bert_dir: Path) -> None:
    path = damage(bert_dir)
    with pytest.raises(UserError) as caught:
        SpanReader.from_pretrained(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hub_id_that_cannot_be_reached() -> None:
    for load in (SpanReader.from_pretrained, load_tokenizer):
        with pytest.raises(UserError) as caught:
            load("somebody/no-such-model-here")
        assert str(caught.value).startswith("somebody/no-such-model-here: ")
        assert "network" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_directory_without_tokenizer(bert_dir: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_tokenizer(str(bert_dir))
    assert str(bert_dir) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_model_without_linear_span_head_is_refused() -> None:
    with pytest.raises(UserError, match="Linear has no linear span head"):
        SpanReader(torch.nn.Linear(2, 2))


def test_model_that_is_more_than_encoder_and_head_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model("bert")
    encode = type(model).forward

    def forward(self: Any, **inputs: torch.Tensor) -> Any:
        out = encode(self, **inputs)
        out.end_logits = out.end_logits * 1.001
        return out

    monkeypatch.setattr(type(model), "forward", forward)
    with pytest.raises(UserError, match="is more than an encoder with a span head"):
        SpanReader(model)


@pytest.mark.parametrize("training", [True, False])
def test_reader_leaves_the_model_in_its_mode(training: bool) -> None:
    model = make_model("bert").train(training)
    model.bert.embeddings.train(not training)  # parts may be in another one
    modes = [module.training for module in model.modules()]
    reader = SpanReader(model)
    reader.prepare(Precision("bf16", torch.device("cpu")))
    assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize(
    ("kind", "attention", "hidden"),
    [
        ("bert", "attention_probs_dropout_prob", "hidden_dropout_prob"),
        ("distilbert", "attention_dropout", "dropout"),
    ],
)
def test_dropout_reaches_the_config(kind: str, attention: str, hidden: str, tmp_path: Path) -> None:
    make_model(kind).save_pretrained(tmp_path)
    reader = SpanReader.from_pretrained(str(tmp_path), attention_dropout=0.25, hidden_dropout=0.375)
    config = reader.model.config
    assert (getattr(config, attention), getattr(config, hidden)) == (0.25, 0.375)
    rates = {m.p for m in reader.modules() if isinstance(m, torch.nn.Dropout)}
    assert 0.375 in rates
    untouched = SpanReader.from_pretrained(str(tmp_path)).model.config
    assert (getattr(untouched, attention), getattr(untouched, hidden)) == (0.1, 0.1)


def test_no_dropout_at_all_makes_training_mode_deterministic(encoder_dir: Path) -> None:
    reader = SpanReader.from_pretrained(
        str(encoder_dir), attention_dropout=0.0, hidden_dropout=0.0
    ).train()
    assert torch.equal(logits_of(reader), logits_of(reader))
    with_dropout = SpanReader.from_pretrained(str(encoder_dir)).train()
    assert not torch.equal(logits_of(with_dropout), logits_of(with_dropout))


def test_longest_window_of_bert_and_roberta() -> None:
    """RoBERTa numbers positions from pad_token_id + 1, so 514 rows hold 512 tokens."""
    import transformers as t

    sizes = {**SIZES, "intermediate_size": 32}
    bert = t.BertForQuestionAnswering(t.BertConfig(**sizes, max_position_embeddings=512))
    roberta = t.RobertaForQuestionAnswering(
        t.RobertaConfig(**sizes, max_position_embeddings=514, pad_token_id=1)
    )
    for model in (bert, roberta):
        reader = SpanReader(model.eval())
        assert reader.max_length == 512
        with torch.no_grad():
            start = reader(**packed(make_windows([512, 512])))[0]
            assert start.shape == (2, 512)
            with pytest.raises((IndexError, RuntimeError)):
                reader(**packed(make_windows([513])))


@pytest.mark.parametrize("kind", ["electra", "distilbert"])
def test_longest_window_of_others(kind: str) -> None:
    assert SpanReader(make_model(kind)).max_length == 64


def test_logits_are_fp32_under_autocast(bert_dir: Path) -> None:
    reader = SpanReader.from_pretrained(str(bert_dir)).eval()
    batch = packed(make_windows([12]))
    segments = Segments(batch["slots"], batch["shape"], Scratch(), attend_on_cpu, batch["lengths"])
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = reader.encode(batch["input_ids"], segments, None)
        logits = torch.stack(reader(**batch)[:2]).squeeze(1)  # (2, N)
    assert logits.dtype == torch.float32
    exact = hidden.float() @ reader.model.qa_outputs.weight.T + reader.model.qa_outputs.bias
    torch.testing.assert_close(logits, exact.detach().T)
    bf16 = logits.to(torch.bfloat16).float()
    assert not torch.equal(logits, bf16)  # more digits than bf16 holds


def test_saving_does_not_change_the_reader(bert_dir: Path, tmp_path: Path) -> None:
    reader = SpanReader.from_pretrained(str(bert_dir)).eval()
    before = logits_of(reader)
    reader.save_pretrained(tmp_path / "copy")
    shutil.rmtree(bert_dir)
    assert torch.equal(logits_of(reader), before)
    again = SpanReader.from_pretrained(str(tmp_path / "copy")).eval()
    assert torch.equal(logits_of(again), before)
