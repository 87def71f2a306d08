"""A pretrained encoder-decoder of transformers (T5, mT5, BART) as a generative reader.

It is trained and decoded as the one of qa's own, but has no copies: every token is written.

B: windows, T: tokens of the longest window, L: columns of the targets, M: targets, V: vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from qa.engine.errors import require
from qa.engine.precision import Precision
from qa.models.generative.places import context_places
from qa.models.generative.reading import Reading
from qa.models.generative.seq2seq_writer import Seq2SeqWriter
from qa.models.generative.teacher_forcing import END_ID
from qa.models.packing.batch_form import BatchForm, batch_form
from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.padded import encode_padded
from qa.models.packing.segments import Scratch, Segments
from qa.models.part_files import without_prefix, written_weights
from qa.models.pretrained import revision_of, user_errors
from qa.models.trained_part import checkpoint_layers
from qa.models.weights import (
    ATTENTION_DROPOUT_NAMES,
    HIDDEN_DROPOUT_NAMES,
    quiet_transformers,
    set_dropout,
)
from qa.models.weights_report import require_shapes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DROPOUT_NAMES = (*HIDDEN_DROPOUT_NAMES, "dropout_rate")


class Seq2SeqReader(nn.Module):
    """Has an encoder-decoder read the window and write the answer, which ends at whole tokens.

    `model`: of transformers' `AutoModelForSeq2SeqLM`.
    """

    is_packed = False
    is_alone = False

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self.new_weights: list[str] = []
        self.notes: list[str] = []
        self._scratch = Scratch()
        config = model.config
        ends = [getattr(config, name, None) for name in ("decoder_start_token_id", "eos_token_id")]
        require(
            all(isinstance(end, int) for end in ends),
            f"{type(model).__name__}: config.json must name one decoder_start_token_id and one"
            f" eos_token_id, not {ends[0]} and {ends[1]}; set them as the tokenizer has them",
        )
        self.start_id, self.end_id = (int(end or 0) for end in ends)

    @property
    def max_length(self) -> int | None:
        """Tokens that encoder and decoder have positions for; None if there is no limit."""
        limit: int | None = getattr(self.model.config, "max_position_embeddings", None)
        return limit

    def prepare(self, precision: Precision, compiles: bool = False) -> str:
        """Return in words how windows attend; there is nothing to choose."""
        require(not compiles, "compile: not offered for encoder-decoders; leave --compile out")
        return "padded windows"

    def batch_form(self, device: torch.device, max_length: int, trains: bool) -> BatchForm:
        """Return the form of the batches; see `SpanReader.batch_form`."""
        return batch_form(False, device, max_length, trains)

    def checkpoint_layers(self) -> None:
        """Trade time for memory in training; see `trained_part.checkpoint_layers`."""
        checkpoint_layers(self.model)

    def forward(
        self, target_ids: torch.Tensor, target_rows: torch.Tensor, **inputs: Any
    ) -> tuple[None, torch.Tensor]:
        """Return (M,) the log-probability of each target; see `GenerativeReader.forward`."""
        return None, self.log_probs(self.read(**inputs), target_ids, target_rows)

    def read(
        self,
        input_ids: torch.Tensor,
        slots: torch.Tensor,
        shape: tuple[int, int],
        num_characters: torch.Tensor,
        lengths: Sequence[int] | None = None,
        bounds: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> Reading:
        """Read packed windows; for the arguments see `SpanReader.forward`."""
        segments = Segments(slots, shape, self._scratch, attend_on_cpu, lengths, bounds)
        padding_id = getattr(self.model.config, "pad_token_id", None) or 0
        encoder = self.model.get_encoder()
        hidden = encode_padded(encoder, {"input_ids": input_ids}, segments, padding_id)
        characters = segments.to_rows(num_characters, 0)
        return Reading(
            None,
            (segments.to_rows(hidden, 0.0), segments.mask),
            segments.to_rows(input_ids, 0),
            context_places(characters),
            characters > 0,
        )

    def log_probs(
        self, reading: Reading, target_ids: torch.Tensor, target_rows: torch.Tensor
    ) -> torch.Tensor:
        """Return (M,) the log-probability of each target; see `target_log_probs`."""
        from transformers.modeling_outputs import BaseModelOutput

        written = target_ids[:, :-1].clamp(min=0)
        inputs = F.pad(written, (1, 0), value=self.start_id)  # (B, L)
        hidden, is_token = reading.memory
        logits: torch.Tensor = self.model(
            encoder_outputs=BaseModelOutput(hidden),
            attention_mask=is_token.long(),
            decoder_input_ids=inputs,
            use_cache=False,
        ).logits
        rows = logits.flatten(0, 1).index_select(0, target_rows).float()  # (M, V)
        targets = target_ids.flatten()[target_rows]
        targets = torch.where(targets == END_ID, self.end_id, targets)
        return rows.log_softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1)

    def writer(self, reading: Reading) -> Seq2SeqWriter:
        """Return what writes answers about these windows."""
        return Seq2SeqWriter(self.model, reading, self.start_id, self.end_id)

    def save_pretrained(
        self, directory: Path, weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Write weights and configuration as transformers does; see `SpanReader`."""
        state = self.state_dict() if weights is None else weights
        with written_weights(directory), quiet_transformers():
            self.model.save_pretrained(directory, state_dict=without_prefix(state, "model."))

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        attention_dropout: float | None = None,
        hidden_dropout: float | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> Seq2SeqReader:
        """Load an encoder-decoder, fp32; for the arguments see `SpanReader.from_pretrained`.

        Raises:
            UserError: It cannot be loaded, or weights are missing.
        """
        from transformers import AutoConfig, AutoModelForSeq2SeqLM

        revision = revision or revision_of(name)
        options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        with user_errors(name):
            config = AutoConfig.from_pretrained(name, **options)
            set_dropout(config, "attention_dropout", ATTENTION_DROPOUT_NAMES, attention_dropout)
            set_dropout(config, "hidden_dropout", DROPOUT_NAMES, hidden_dropout)
            with quiet_transformers():
                model, info = AutoModelForSeq2SeqLM.from_pretrained(
                    name,
                    config=config,
                    dtype=torch.float32,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,  # they are refused below, with a reason
                    **options,
                )
        require_shapes(name, list(info["mismatched_keys"]))
        missing = sorted(info["missing_keys"])
        require(not missing, f"{name}: weights are missing, e.g. {', '.join(missing[:2])}")
        reader = cls(model)
        reader.notes.append(
            f"{name}: writes with its own decoder, without copies; answers end at whole tokens"
        )
        return reader
