"""The examples, the tokenizer and the model that a configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from qa.config import EMBEDDED, GENERATIVE, Config
from qa.data.examples import Example
from qa.data.formats import read_examples, read_training, require_answers
from qa.data.holdout import split_holdout
from qa.data.overlap import find_overlap, overlap_lines
from qa.data.quickstart.passages import make_quickstart
from qa.data.quickstart.tokenizer import train_tokenizer
from qa.engine.errors import first_few, notice, require
from qa.models.pretrained import load_tokenizer, revision_of
from qa.models.readers import AnyReader, load_reader, make_reader
from qa.models.small_bert import small_bert_config
from qa.models.vocabulary import num_embeddings, require_vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def read_data(config: Config) -> tuple[list[Example], list[Example]]:
    """Return the examples for training and those for evaluation, of which there may be none."""
    data = config.data
    assert data.train_data is not None  # Config checks it
    by_text = config.model.reader == GENERATIVE
    repeats: dict[str, int] = {}  # how often an epoch shows a question, if not once
    if data.train_data == EMBEDDED:
        training, evaluation = make_quickstart()
    else:
        training, repeats = read_training(
            data.train_data, split="train", nfc=data.nfc, by_text=by_text
        )
        evaluation = []
        if data.holdout is not None:
            training, evaluation = split_holdout(training, data.holdout)
    if data.eval_data is not None:
        evaluation = read_examples(
            data.eval_data, split="validation", nfc=data.nfc, by_text=by_text
        )
    if not by_text:
        training = with_places(training)
    training = training[: data.max_train_examples]
    evaluation = evaluation[: data.max_eval_examples]
    require(
        training, f"{data.train_data}: no training examples are left after holding out the rest"
    )
    require_answers(training, data.train_data, by_text)
    if evaluation:
        require_answers(evaluation, data.eval_data or data.train_data, by_text)
    for line in overlap_lines(find_overlap(training, evaluation), len(evaluation)):
        notice(line)
    # Held-out questions are not repeated: a score counts each of them once.
    training = [e for e in training for _ in range(repeats.get(e.id, 1))]
    return training, evaluation


def with_places(examples: list[Example]) -> list[Example]:
    """Leave out questions whose answers stand nowhere: a span head would learn to refuse them."""
    without = [e.id for e in examples if e.gold_answers and not e.answers]
    if without:
        notice(
            f"{len(without):,} questions have no answer with a place in its context"
            f" ({first_few(without)}): they are left out; --reader generative learns from them"
        )
    return [e for e in examples if e.answers or not e.gold_answers]


def load_model(
    config: Config, train_examples: list[Example]
) -> tuple[PreTrainedTokenizerFast, AnyReader]:
    """Load tokenizer and model; for the embedded model make both from the training texts."""
    settings = config.model
    is_generative = settings.reader == GENERATIVE
    decoder = {
        "decoder_layers": settings.decoder_layers,
        "trains_span_head": settings.span_loss_weight > 0,
    }
    # No answer is wider than its window.
    widest = min(config.decoding.max_answer_length, config.windows.max_seq_length)
    pair_width = widest if settings.pair_head else 0
    if settings.model == EMBEDDED:
        texts = (text for e in train_examples for text in (e.question, e.context))
        tokenizer = train_tokenizer(texts)
        encoder, boundaries = small_bert_config(tokenizer), settings.character_boundaries
        model = make_reader(encoder, boundaries, pair_width, is_generative, **decoder)
        return tokenizer, model
    revision = revision_of(settings.model)
    trusts = {"trust_remote_code": True} if settings.trust_remote_code else {}
    tokenizer = load_tokenizer(settings.model, revision, **trusts)
    model = load_reader(
        settings.model,
        is_generative,
        decoder,
        attention_dropout=settings.attention_dropout,
        hidden_dropout=settings.hidden_dropout,
        boundaries=settings.character_boundaries,
        pair_width=pair_width,
        revision=revision,
        **trusts,
    )
    require(
        not (model.is_alone and config.train.sharding == "fsdp"),
        f"{settings.model}: its scores change with padding, so that windows of one length run"
        " together; processes that share weights would wait for each other: --sharding none",
    )
    require_vocabulary(settings.model, tokenizer, num_embeddings(model))
    return tokenizer, model


def describe_parameters(model: nn.Module) -> str:
    """Return the number of weights, and how many of them are frozen if any are."""
    total = sum(parameter.numel() for parameter in model.parameters())
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    return f"{total:,} parameters" + (f" ({frozen:,} of them frozen)" if frozen else "")
