"""The span reader: a transformers encoder and a linear head that scores starts and ends.

B: windows, T: tokens of the longest window, N: tokens of all windows together, F: hidden size.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qa.engine.errors import UserError, require
from qa.models import segment_attention
from qa.models.byte_dropout import use_byte_dropout
from qa.models.segments import Segments

# The names that encoders give their two dropout probabilities.
ATTENTION_DROPOUT_NAMES = ("attention_probs_dropout_prob", "attention_dropout")
HIDDEN_DROPOUT_NAMES = ("hidden_dropout_prob", "dropout")
# Rounding alone makes less than a tenth of it, another window's tokens in sight much more.
PACKED_TOLERANCE = 1e-5
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
    weights load with `AutoModelForQuestionAnswering`, and the other way round. The encoder sees
    the windows packed end to end, without padding, if its attention can be exchanged; `is_packed`
    says so.
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
        self.is_packed = False
        self._require_standard_forward()
        self.is_packed = self._can_pack()
        use_byte_dropout(self.model)

    @property
    def first_position(self) -> int:
        """The position id of a window's first token."""
        # RoBERTa and its kin number positions from pad_token_id + 1.
        embeddings = getattr(self.model.base_model, "embeddings", None)
        table = getattr(embeddings, "position_embeddings", None)
        is_shifted = getattr(table, "padding_idx", None) is not None
        return self.model.config.pad_token_id + 1 if is_shifted else 0

    @property
    def max_length(self) -> int | None:
        """Tokens the model has positions for; None if there is no limit."""
        positions = getattr(self.model.config, "max_position_embeddings", None)
        return positions - self.first_position if positions and positions > 0 else None

    def forward(
        self,
        input_ids: torch.Tensor,
        slots: torch.Tensor,
        lengths: Sequence[int],
        shape: tuple[int, int],
        token_type_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Packed windows -> start_logits and end_logits, (B, T) fp32 each, -inf behind a window.

        input_ids, token_type_ids: (N,). slots, lengths, shape: see `Segments`.
        """
        segments = Segments(lengths, slots, shape)
        hidden = self.encode(input_ids, segments, token_type_ids)  # (N, F)
        # In fp32 even under autocast: bf16 has 8 bits, so scores near 10 would tie by the dozen.
        with torch.autocast(input_ids.device.type, enabled=False):
            logits = self.model.qa_outputs(hidden.float())  # (N, 2)
        # Copies, since FSDP2 asks that a module return no views.
        start_logits, end_logits = segments.to_rows(logits, float("-inf")).unbind(2)
        return start_logits.clone(), end_logits.clone()  # (B, T) each

    def encode(
        self, input_ids: torch.Tensor, segments: Segments, token_type_ids: torch.Tensor | None
    ) -> torch.Tensor:
        """The encoder's last hidden states, (N, F)."""
        encoder = self.model.base_model
        # klue/roberta knows one token type only, but its tokenizer makes two.
        takes_types = getattr(self.model.config, "type_vocab_size", 0) > 1
        inputs = {"input_ids": input_ids}
        if token_type_ids is not None and takes_types:
            inputs["token_type_ids"] = token_type_ids
        if self.is_packed:
            inputs["position_ids"] = segments.positions + self.first_position
            inputs = {name: value.unsqueeze(0) for name, value in inputs.items()}  # (1, N)
            packed: torch.Tensor = encoder(**inputs, segments=segments)[0].squeeze(0)
            return packed
        # Any id will do behind a window's end, since nothing attends to it.
        inputs = {name: segments.to_rows(value, 0) for name, value in inputs.items()}  # (B, T)
        return segments.from_rows(encoder(**inputs, attention_mask=segments.mask().long())[0])

    @torch.no_grad()
    def _require_standard_forward(self) -> None:
        """Raise UserError unless transformers' own forward gives the same scores.

        Some models do more than encoder and head (Longformer adds global attention on the
        question); trained here, they would be saved as another model than the one that was scored.
        """
        batch = two_windows(self.model.config)
        segments = Segments(batch["lengths"], batch["slots"], batch["shape"])
        ids, mask = segments.to_rows(batch["input_ids"], 0), segments.mask().long()
        with evaluating(self.model):
            theirs = self.model(input_ids=ids, attention_mask=mask)
            ours = self(**batch)
        require(
            all(
                torch.equal(a.masked_fill(mask == 0, 0.0), b.masked_fill(mask == 0, 0.0))
                for a, b in zip(ours, (theirs.start_logits, theirs.end_logits), strict=True)
            ),
            f"{type(self.model).__name__} is more than an encoder with a span head, which is all"
            " that qa can train",
        )

    @torch.no_grad()
    def _can_pack(self) -> bool:
        """Exchange the encoder's attention; true if packed windows then give the same scores."""
        batch = two_windows(self.model.config)
        ordinary = self.model.config._attn_implementation
        segment_attention.register()
        with evaluating(self.model), quiet_transformers():
            padded = torch.stack(self(**batch))
            self.model.set_attn_implementation(segment_attention.NAME)
            # A model with an attention of its own warns and leaves it as it is.
            if self.model.config._attn_implementation != segment_attention.NAME:
                return False
            self.is_packed = True
            try:
                packed = torch.stack(self(**batch))
            except TypeError:  # positions or further arguments are not taken
                packed = torch.full_like(padded, float("nan"))
            finite = padded.isfinite()
            difference = (packed - padded)[finite].abs().max()
            if difference < PACKED_TOLERANCE * padded[finite].abs().max():
                return True
            self.model.set_attn_implementation(ordinary)
        return False

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
        absent = [key for key in loading["missing_keys"] if not key.startswith("qa_outputs.")]
        require(not absent, f"{name}: weights are missing, e.g. {', '.join(sorted(absent)[:2])}")
        require(
            not (require_head and loading["missing_keys"]),
            f"{name}: has no trained span head (qa_outputs); train it first with train.py --model",
        )
        return reader


def model_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a batch that `SpanReader.forward` takes."""
    names = ("input_ids", "slots", "lengths", "shape", "token_type_ids")
    return {name: batch[name] for name in names if name in batch}


def two_windows(config: Any) -> dict[str, Any]:
    """A batch of two windows of different lengths, to try a model on."""
    # Not the padding token: RoBERTa's own forward gives it no position.
    ids = [i for i in range(min(config.vocab_size, 9)) if i != config.pad_token_id]
    return {
        "input_ids": torch.tensor((ids * 8)[:8]),
        "slots": torch.tensor([0, 1, 2, 3, 4, 5, 6, 7]),
        "lengths": [5, 3],
        "shape": (2, 5),
    }


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


class evaluating:
    """Puts a module into evaluation mode for a while."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.was_training = module.training

    def __enter__(self) -> None:
        self.module.eval()

    def __exit__(self, *_: object) -> None:
        self.module.train(self.was_training)


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
