"""What people train on: other tasks' checkpoints, weights that are left over, vocabularies."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_models import logits_of, make_model, make_windows

from qa.answering.reader import Reader
from qa.cli import doctor
from qa.config import config_from_flat
from qa.engine.errors import Notice, UserError
from qa.models.pretrained import load_tokenizer
from qa.models.span_reader import SpanReader
from qa.models.vocabulary import require_vocabulary
from qa.models.weights_report import describe_unused
from qa.training.load import load_model

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
MODERN: dict[str, Any] = {
    **SIZES,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "cls_token_id": 1,
    "eos_token_id": 2,
    "sep_token_id": 2,
}


def load(directory: Path) -> SpanReader:
    return SpanReader.from_pretrained(str(directory)).eval()


def load_in_transformers(directory: Path) -> Any:
    """Transformers' model, of which no weight is missing, left over or of another shape."""
    from transformers import AutoModelForQuestionAnswering

    model, loading = AutoModelForQuestionAnswering.from_pretrained(
        directory, output_loading_info=True
    )
    assert not any(loading.values()), loading
    return model.eval()


def rewrite(directory: Path, change: Any) -> None:
    file = directory / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def set_config(directory: Path, **values: Any) -> None:
    file = directory / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


# Classifiers and rerankers


@pytest.mark.parametrize("labels", [1, 3, 5])
def test_a_classifier_is_trained_on_with_a_new_head(labels: int, tmp_path: Path) -> None:
    import transformers as t

    names = {number: f"label {number}" for number in range(labels)}
    config = t.BertConfig(**SIZES, num_labels=labels, id2label=names)
    model = t.BertForSequenceClassification(config)
    model.save_pretrained(tmp_path / "start")
    reader = load(tmp_path / "start")
    assert reader.new_weights == ["model.qa_outputs."]
    assert reader.notes == [
        f"{tmp_path / 'start'}: the {labels} labels in its config.json are those of another task;"
        " new head (qa_outputs); not used: the pooler (2 weights), the classifier of another task"
        " (2 weights)"
    ]
    encoder = model.bert.embeddings.word_embeddings.weight
    assert torch.equal(reader.model.bert.embeddings.word_embeddings.weight, encoder)
    reader.save_pretrained(tmp_path / "end")
    again = load_in_transformers(tmp_path / "end")
    assert again.config.num_labels == 2
    assert torch.equal(again.qa_outputs.weight, reader.model.qa_outputs.weight)


@pytest.mark.parametrize("labels", [2, 3])
def test_a_classifier_whose_last_layer_is_named_like_the_span_heads(
    labels: int, tmp_path: Path
) -> None:
    import transformers as t

    model = t.ModernBertForSequenceClassification(t.ModernBertConfig(**MODERN, num_labels=labels))
    model.save_pretrained(tmp_path)
    reader = load(tmp_path)
    assert reader.new_weights == ["model.classifier."]
    assert reader.model.classifier.weight.shape == (2, 16)
    assert not torch.equal(reader.model.classifier.weight, model.classifier.weight[:2])
    assert torch.equal(reader.model.head.dense.weight, model.head.dense.weight)
    with pytest.raises(UserError, match=r"has no trained span head \(classifier\)"):
        SpanReader.from_pretrained(str(tmp_path), require_head=True)


def test_an_encoder_is_loaded_as_before_and_its_new_head_is_told(encoder_dir: Path) -> None:
    reader = load(encoder_dir)
    assert reader.notes == [f"{encoder_dir}: new head (qa_outputs)"]
    torch.manual_seed(1)
    first = SpanReader.from_pretrained(str(encoder_dir)).model.qa_outputs.weight
    torch.manual_seed(1)
    # What transformers draws for a head: one call for its weights.
    assert torch.equal(first, torch.empty(2, 32).normal_(0, 0.02))


# Vocabulary


def with_tokens(encoder_dir: Path, directory: Path, surplus: int) -> Path:
    """A copy of an encoder whose tokenizer has more tokens than it has embeddings."""
    shutil.copytree(encoder_dir, directory)
    tokenizer = load_tokenizer(str(encoder_dir))
    tokenizer.add_tokens([f"word{number}" for number in range(surplus)])
    tokenizer.save_pretrained(directory)
    return directory


def test_more_tokens_than_embeddings(encoder_dir: Path, tmp_path: Path) -> None:
    directory = with_tokens(encoder_dir, tmp_path / "model", 1)
    rows = len(load_tokenizer(str(encoder_dir)))
    config = config_from_flat({"model": str(directory), "train_data": "a.json"})
    wanted = rf"ids up to {rows:,} \('word0'\), but the model has embeddings for {rows:,} tokens"
    with pytest.raises(UserError, match=wanted):
        load_model(config, [])
    torch.manual_seed(0)
    load(encoder_dir).save_pretrained(tmp_path / "reader")
    load_tokenizer(str(directory)).save_pretrained(tmp_path / "reader")
    with pytest.raises(UserError, match=rf"resize_token_embeddings\({rows + 1}\)"):
        Reader.from_pretrained(tmp_path / "reader")


def test_the_doctor_says_so_from_the_configuration_alone(
    encoder_dir: Path, squad_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the weights, which it does not read."""
    rows = len(load_tokenizer(str(encoder_dir)))
    for surplus, code in ((0, 0), (1, 2)):
        directory = with_tokens(encoder_dir, tmp_path / str(surplus), surplus)
        (directory / "model.safetensors").unlink()
        assert doctor.main([str(squad_file), "--model", str(directory)]) == code
    error = capsys.readouterr().err
    assert error.startswith(f"error: {directory}: the tokenizer gives ids up to {rows:,} ('word0')")
    assert f"resize_token_embeddings({rows + 1})" in error
    assert error.count("\n") == 1
    (directory / "config.json").write_text('{"model_type": "bert"}')  # it does not say
    assert doctor.main([str(squad_file), "--model", str(directory)]) == 0


# Tokenizers that cannot be had


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        # As KoBERT has it, and with code of its own.
        ({"tokenizer_class": "KoBertTokenizer"}, ["tokenizer_78b3253a26.model", "vocab.txt"]),
        ({"tokenizer_class": "XLNetTokenizer"}, ["spiece.model"]),
    ],
)
def test_a_tokenizer_without_a_fast_form(
    settings: dict[str, str], files: list[str], tmp_path: Path
) -> None:
    """The message is whole, and says what to do."""
    (tmp_path / "config.json").write_text('{"model_type": "bert", "vocab_size": 8002}')
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    for name in files:
        (tmp_path / name).write_text("[UNK]\n한국\n")
    with pytest.raises(UserError, match=r"has no fast form") as raised:
        load_tokenizer(str(tmp_path))
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}: its tokenizer")
    assert "pip install sentencepiece" in message
    assert message.endswith("take a model with a tokenizer.json, such as klue/bert-base")


def test_a_vocabulary_of_another_kind_is_no_empty_one(tmp_path: Path) -> None:
    """BERT's class knows nothing of a spiece.model, and would call every word unknown."""
    (tmp_path / "config.json").write_text('{"model_type": "bert", "vocab_size": 8002}')
    (tmp_path / "spiece.model").write_text("x")
    with pytest.raises(UserError, match="BertTokenizer, has special tokens only"):
        load_tokenizer(str(tmp_path))


def test_no_tokenizer_at_all(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match=r"no tokenizer in this model directory .*; put that of"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_pointers_of_git_lfs_are_told(file: str, encoder_dir: Path, tmp_path: Path) -> None:
    """A clone without git-lfs has them; transformers finds a header too large, or no JSON."""
    directory = tmp_path / "model"
    shutil.copytree(encoder_dir, directory)
    (directory / "folder").mkdir()
    (directory / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:a\n")
    action: Any = SpanReader.from_pretrained if file == "model.safetensors" else load_tokenizer
    with pytest.raises(UserError, match=rf"Git LFS has not fetched {file}: `git lfs pull` does"):
        action(str(directory))


@pytest.mark.parametrize(("surplus", "is_said"), [(0, False), (5, False), (50, True)])
def test_far_fewer_tokens_than_embeddings_are_said(
    surplus: int, is_said: bool, encoder_dir: Path
) -> None:
    """Another model's vocabulary, of which the ids mean other words here."""
    tokenizer = load_tokenizer(str(encoder_dir))
    rows = len(tokenizer) + surplus
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        require_vocabulary("NAME", tokenizer, rows)
    said = [str(each.message) for each in caught if each.category is Notice]
    assert said == is_said * [
        f"NAME: the tokenizer has {len(tokenizer)} tokens, but the model has embeddings for {rows}:"
        " if it is another model's, answers are nonsense; put the model's own there"
    ]


# Weights left over


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM", "BertForQuestionAnswering"])
def test_layers_that_the_configuration_leaves_out_are_refused(kind: str, tmp_path: Path) -> None:
    import transformers as t

    getattr(t, kind)(t.BertConfig(**SIZES)).save_pretrained(tmp_path)
    set_config(tmp_path, num_hidden_layers=1)
    with pytest.raises(
        UserError, match=r"16 weights of the encoder would be dropped, e\.g\. "
    ) as e:
        load(tmp_path)
    assert "encoder.layer.1." in str(e.value)


def test_a_head_under_another_name_is_told(tmp_path: Path) -> None:
    make_model("bert").save_pretrained(tmp_path)
    rewrite(tmp_path, lambda s: {n.replace("qa_outputs", "finder"): w for n, w in s.items()})
    reader = load(tmp_path)
    assert reader.notes == [
        f"{tmp_path}: new head (qa_outputs); not used: 2 weights that belong to nothing here"
        " (finder.bias, finder.weight)"
    ]
    with pytest.raises(UserError, match=r"no trained span head .*finder\.bias"):
        SpanReader.from_pretrained(str(tmp_path), require_head=True)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ["cls.predictions.bias", "bert.pooler.dense.bias"],
            "the pooler (1 weight), the language-",
        ),
        (["lm_head.weight"], "the language-model head (1 weight)"),
        (["discriminator_predictions.dense.bias"], "the discriminator head (1 weight)"),
        (["bert.embeddings.position_ids"], ""),
        (["adapters.x"], "1 weights that belong to nothing here (adapters.x)"),
    ],
)
def test_what_is_normal_is_named_as_such(names: list[str], told: str) -> None:
    assert describe_unused(names).startswith(told)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    make_model("bert").save_pretrained(tmp_path)
    set_config(tmp_path, intermediate_size=48)
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    assert "intermediate.dense.bias is [32] in the file and [48] by the config" in str(caught.value)
    assert "(and 5 more)" in str(caught.value)


# Encoders behind other names and heads


@pytest.mark.parametrize("name", ["Llama", "Qwen2"])
def test_a_causal_language_models_weights_are_loaded(name: str, tmp_path: Path) -> None:
    import transformers as t

    torch.manual_seed(0)
    model = getattr(t, f"{name}ForCausalLM")(
        getattr(t, f"{name}Config")(**SIZES, num_key_value_heads=2)
    )
    model.save_pretrained(tmp_path / "start")
    reader = load(tmp_path / "start")
    assert reader.new_weights == ["model.qa_outputs."]
    theirs = model.model.state_dict()
    for key, weight in reader.model.base_model.state_dict().items():
        assert torch.equal(weight, theirs[key])
    reader.save_pretrained(tmp_path / "end")
    again = load_in_transformers(tmp_path / "end")
    windows = make_windows([9])
    with torch.no_grad():
        out = again(input_ids=windows[0]["input_ids"][None])
        assert torch.equal(logits_of(reader, windows)[0], out.start_logits)


def test_what_qa_saved_with_a_head_of_its_own_is_loaded(tmp_path: Path) -> None:
    import transformers as t

    config = t.NomicBertConfig(**SIZES)
    t.AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path / "start")
    reader = load(tmp_path / "start")
    assert "a linear one of qa's own" in reader.notes[0]
    reader.save_pretrained(tmp_path / "end")
    again = SpanReader.from_pretrained(str(tmp_path / "end"), require_head=True).eval()
    assert again.new_weights == []
    assert again.notes == []
    windows = make_windows([9, 20])
    with torch.no_grad():
        assert torch.equal(logits_of(again, windows), logits_of(reader, windows))


def test_a_trained_head_of_another_forward_is_none_of_qas(tmp_path: Path) -> None:
    """Longformer's was trained with global attention on the question."""
    import transformers as t

    config = t.LongformerConfig(**SIZES, attention_window=[8, 8], pad_token_id=1)
    model = t.LongformerForQuestionAnswering(config)
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="LongformerForQuestionAnswering is loaded, but two short"):
        SpanReader.from_pretrained(str(tmp_path), require_head=True)
    reader = load(tmp_path)
    assert reader.new_weights == ["model.qa_outputs."]
    assert not torch.equal(reader.model.qa_outputs.weight, model.qa_outputs.weight)


# Other refusals


def test_a_run_is_not_its_model(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text('{"model": "klue/bert-base"}')
    with pytest.raises(UserError, match="is the directory of a run that has no best/"):
        load(tmp_path)
    (tmp_path / "best").mkdir()
    with pytest.raises(UserError, match=f"its model is in {tmp_path / 'best'}: pass that"):
        load(tmp_path)


CUSTOM = """
from transformers import BertConfig, BertModel
class OwnConfig(BertConfig):
    model_type = "own-bert"
class OwnModel(BertModel):
    config_class = OwnConfig
"""


def test_code_that_comes_with_a_model_is_run_on_request_only(
    encoder_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    directory = tmp_path / "own"
    shutil.copytree(encoder_dir, directory)
    (directory / "own.py").write_text(CUSTOM)
    classes = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    set_config(directory, model_type="own-bert", architectures=["OwnModel"], auto_map=classes)
    flat = {"model": str(directory), "train_data": "a.json"}
    with pytest.raises(UserError, match="pass --trust-remote-code"):
        load_model(config_from_flat(flat), [])
    _, reader = load_model(config_from_flat({**flat, "trust_remote_code": True}), [])
    assert type(reader.model).__name__ == "OwnWithSpanHead"
    plain = load(encoder_dir).model.bert.state_dict()
    loaded = reader.model.base_model.state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in plain.items())
