"""Tiny question-answering models of transformers' own, and windows for them, packed or padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from qa.models.span_reader import SpanReader

Window = dict[str, torch.Tensor]

VOCAB_SIZE = 60
MAX_LENGTH = 64  # tokens that every one of the models has positions for
PACKED_KINDS = ("bert", "roberta", "electra", "distilbert", "albert", "xlm-roberta")
PADDED_KINDS = ("roformer", "deberta-v2", "mpnet")


def make_model(kind: str) -> Any:
    """A model in evaluation mode, its weights large enough for attention with preferences."""
    import transformers as t

    torch.manual_seed(3)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}
    rest = {"intermediate_size": 32, "max_position_embeddings": MAX_LENGTH}
    common = {"vocab_size": VOCAB_SIZE, "initializer_range": 0.3, **sizes, **rest}
    # RoBERTa and those like it count positions from pad_token_id + 1.
    shifted = {**common, "pad_token_id": 1, "max_position_embeddings": MAX_LENGTH + 2}
    types = {"type_vocab_size": 2}
    dropouts = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    makers: dict[str, Callable[[], Any]] = {
        "bert": lambda: t.BertForQuestionAnswering(t.BertConfig(**common)),
        "roberta": lambda: t.RobertaForQuestionAnswering(t.RobertaConfig(**shifted, **types)),
        "electra": lambda: t.ElectraForQuestionAnswering(
            t.ElectraConfig(**common, embedding_size=8)
        ),
        "distilbert": lambda: t.DistilBertForQuestionAnswering(
            t.DistilBertConfig(
                vocab_size=VOCAB_SIZE,
                initializer_range=0.3,
                n_layers=2,
                n_heads=2,
                dim=16,
                hidden_dim=32,
                max_position_embeddings=MAX_LENGTH,
            )
        ),
        "albert": lambda: t.AlbertForQuestionAnswering(
            t.AlbertConfig(**common, embedding_size=8, **dropouts)
        ),
        "xlm-roberta": lambda: t.XLMRobertaForQuestionAnswering(
            t.XLMRobertaConfig(**shifted, type_vocab_size=1)
        ),
        "roformer": lambda: t.RoFormerForQuestionAnswering(t.RoFormerConfig(**common)),
        "deberta-v2": lambda: t.DebertaV2ForQuestionAnswering(
            t.DebertaV2Config(**common, **types, relative_attention=True, pos_att_type=["c2p"])
        ),
        "mpnet": lambda: t.MPNetForQuestionAnswering(t.MPNetConfig(**shifted)),
        "convbert": lambda: t.ConvBertForQuestionAnswering(
            t.ConvBertConfig(**common, embedding_size=16, head_ratio=1)
        ),
        "mbart": lambda: t.MBartForQuestionAnswering(
            t.MBartConfig(
                vocab_size=VOCAB_SIZE,
                init_std=0.3,
                pad_token_id=1,
                d_model=16,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=32,
                decoder_ffn_dim=32,
                max_position_embeddings=MAX_LENGTH,
            )
        ),
    }
    return makers[kind]().eval()


def make_windows(lengths: Sequence[int], seed: int = 0, with_types: bool = False) -> list[Window]:
    """Windows of random tokens; with types, the second half of each is of type 1."""
    generator = torch.Generator().manual_seed(seed)
    windows = [
        {"input_ids": torch.randint(5, VOCAB_SIZE, (n,), generator=generator)} for n in lengths
    ]
    if with_types:
        for window, length in zip(windows, lengths, strict=True):
            window["token_type_ids"] = (torch.arange(length) >= length // 2).long()
    return windows


def packed(windows: Sequence[Window]) -> dict[str, Any]:
    """The windows as arguments of `SpanReader.forward`."""
    lengths = [len(window["input_ids"]) for window in windows]
    width = max(lengths)
    slots = [row * width + column for row, n in enumerate(lengths) for column in range(n)]
    batch = {name: torch.cat([w[name] for w in windows]) for name in windows[0]}
    batch["num_characters"] = torch.ones_like(batch["input_ids"])
    shape = (len(windows), width)
    return {**batch, "slots": torch.tensor(slots), "lengths": lengths, "shape": shape}


def padded(windows: Sequence[Window], pad_token_id: int = 0) -> dict[str, torch.Tensor]:
    """The windows as arguments of transformers' models."""
    fills = {"input_ids": pad_token_id, "token_type_ids": 0}
    batch = {
        name: torch.nn.utils.rnn.pad_sequence(
            [window[name] for window in windows], batch_first=True, padding_value=fills[name]
        )
        for name in windows[0]
    }
    mask = [torch.ones(len(window["input_ids"]), dtype=torch.long) for window in windows]
    batch["attention_mask"] = torch.nn.utils.rnn.pad_sequence(mask, batch_first=True)
    return batch


def logits_of(model: Any, windows: Sequence[Window]) -> torch.Tensor:
    """(2, B, T) start and end logits of a SpanReader or of transformers' model; -inf on padding."""
    if isinstance(model, SpanReader):
        return torch.stack(model(**packed(windows))[:2])
    batch = padded(windows, model.config.pad_token_id)
    out = model(**batch)
    logits = torch.stack((out.start_logits, out.end_logits))
    return logits.masked_fill(batch["attention_mask"] == 0, float("-inf"))
