"""The span reader: a transformers encoder and a linear head that scores starts and ends.

B: windows, T: tokens.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qa.engine.errors import UserError, require

# The names that encoders give their two dropout probabilities.
ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_DROPOUT_NAMES = ("hidden_dropout_prob", "dropout")
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


class SpanReader(nn.Module):
    """Scores every token of a window as the first and as the last token of the answer.

    It holds transformers' own question-answering model and runs its encoder and its head, so saved
    weights load with `AutoModelForQuestionAnswering`, and the other way round.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        head = getattr(model, "qa_outputs", None)
        require(
            isinstance(head, nn.Linear) and head.out_features == 2,
            f"{type(model).__name__} has no linear span head (qa_outputs with 2 outputs); use an"
            " encoder such as BERT, RoBERTa, ELECTRA or DistilBERT",
        )

    @property
    def max_length(self) -> int | None:
        """Tokens the model has positions for; None if there is no limit."""
        config = self.model.config
        positions = getattr(config, "max_position_embeddings", None)
        # RoBERTa and its kin number positions from pad_token_id + 1.
        table = getattr(
            getattr(self.model.base_model, "embeddings", None), "position_embeddings", None
        )
        offset = config.pad_token_id + 1 if getattr(table, "padding_idx", None) is not None else 0
        return positions - offset if positions and positions > 0 else None

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T) ids, mask and types -> start_logits and end_logits, (B, T) fp32 each."""
        # klue/roberta knows one token type only, but its tokenizer makes two.
        takes_types = token_type_ids is not None and (
            getattr(self.model.config, "type_vocab_size", 0) > 1
        )
        types = {"token_type_ids": token_type_ids} if takes_types else {}
        encoder = self.model.base_model
        hidden = encoder(input_ids=input_ids, attention_mask=attention_mask, **types)[
            0
        ]  # (B, T, H)
        # In fp32 even under autocast: bf16 has 8 bits, so scores near 10 would tie by the dozen.
        with torch.autocast(input_ids.device.type, enabled=False):
            logits = self.model.qa_outputs(hidden.float())  # (B, T, 2)
        # Copies, since FSDP2 asks that a module return no views.
        return logits[..., 0].clone(), logits[..., 1].clone()  # (B, T) each

    @torch.no_grad()
    def require_standard_forward(self) -> None:
        """Raise UserError unless transformers' own forward gives the same scores.

        Some models do more than encoder and head (Longformer adds global attention on the
        question); trained here, they would be saved as another model than the one that was scored.
        """
        self.eval()
        ids = torch.arange(8).unsqueeze(0)  # (1, T)
        start_logits, end_logits = self(ids, torch.ones_like(ids))
        theirs = self.model(input_ids=ids, attention_mask=torch.ones_like(ids))
        require(
            torch.equal(start_logits, theirs.start_logits)
            and torch.equal(end_logits, theirs.end_logits),
            f"{type(self.model).__name__} is more than an encoder with a span head, which is all"
            " that qa can train",
        )

    def save_pretrained(
        self, directory: Path, weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Write weights and configuration as transformers does; OSError if that fails.

        weights: this reader's state_dict, for a reader that holds only a part of it.
        """
        if weights is not None:
            weights = {name.removeprefix("model."): value for name, value in weights.items()}
        from safetensors import SafetensorError

        try:
            with quiet_transformers():
                self.model.save_pretrained(directory, state_dict=weights)
        except SafetensorError as error:  # what it makes of a failed write, e.g. on a full disk
            raise OSError(errno.EIO, str(error), str(directory)) from error

    @classmethod
    def from_config(cls, config: Any) -> SpanReader:
        """A reader with new weights, drawn from torch's global generator."""
        from transformers import AutoModelForQuestionAnswering

        return cls(AutoModelForQuestionAnswering.from_config(config))

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        attention_dropout: float | None = None,
        hidden_dropout: float | None = None,
        require_head: bool = False,
    ) -> SpanReader:
        """Load an encoder or a whole reader, fp32, from a directory or the hub.

        A checkpoint without a span head gets a new one, drawn from torch's global generator, unless
        `require_head`. Raises UserError if it cannot be loaded or other weights are missing.
        """
        from transformers import AutoConfig, AutoModelForQuestionAnswering

        check_directory(name)
        with user_errors(name):
            config = AutoConfig.from_pretrained(name)
            set_dropout(config, "attention_dropout", ATTENTION_DROPOUT_NAMES, attention_dropout)
            set_dropout(config, "hidden_dropout", HIDDEN_DROPOUT_NAMES, hidden_dropout)
            with quiet_transformers():
                model, loading = AutoModelForQuestionAnswering.from_pretrained(
                    name, config=config, dtype=torch.float32, output_loading_info=True
                )
            reader = cls(model)
            reader.require_standard_forward()
        absent = [key for key in loading["missing_keys"] if not key.startswith("qa_outputs.")]
        require(not absent, f"{name}: weights are missing, e.g. {', '.join(sorted(absent)[:2])}")
        require(
            not (require_head and loading["missing_keys"]),
            f"{name}: has no trained span head (qa_outputs); train it first with train.py --model",
        )
        return reader


def model_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a batch that `SpanReader.forward` takes."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    return {name: batch[name] for name in names if name in batch}


def set_dropout(config: Any, option: str, names: tuple[str, ...], value: float | None) -> None:
    """Set a dropout probability under the name that this encoder gives it; None leaves it alone."""
    if value is None:
        return
    present = [name for name in names if hasattr(config, name)]
    require(present, f"{option}: a {config.model_type} model has no such setting")
    setattr(config, present[0], value)


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a directory or hub id; UserError if it cannot be loaded."""
    from transformers import AutoTokenizer

    check_directory(name)
    if os.path.isdir(name):
        # Without any of them transformers makes up an empty vocabulary.
        require(
            any(file in os.listdir(name) for file in TOKENIZER_FILES),
            f"{name}: no tokenizer in this model directory (none of {', '.join(TOKENIZER_FILES)})",
        )
    with user_errors(name):
        return AutoTokenizer.from_pretrained(name)


def check_directory(name: str) -> None:
    """Raise UserError if `name` can only be a directory and is none with a configuration."""
    # os.path, not pathlib: it calls a name that no file can have absent instead of raising.
    if os.path.isdir(name):
        present = set(os.listdir(name))
        require("config.json" in present, f"{name}: no config.json in this model directory")
    else:
        looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
        require(not looks_local and not os.path.exists(name), f"{name}: no such model directory")


class user_errors:
    """Turns what transformers raises for a name that it cannot load into a UserError."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        # Any Exception: there is no end to what transformers raises for a malformed directory.
        if not isinstance(error, Exception) or isinstance(error, UserError):
            return
        reason = " ".join(str(error).split())[:160]
        if os.path.isdir(self.name):
            raise UserError(f"{self.name}: cannot be loaded as a model ({reason})") from error
        raise UserError(
            f"{self.name}: is no local directory and cannot be had from the hub; check the id and"
            f" the network, or pass a local directory instead ({reason})"
        ) from error


class quiet_transformers:
    """Silences transformers' progress bars and its report of the head it made, for a while."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self.logging = logging
        self.verbosity = logging.get_verbosity()
        self.shows_bars = logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self.logging.set_verbosity(self.verbosity)
        if self.shows_bars:
            self.logging.enable_progress_bar()
