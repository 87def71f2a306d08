"""The span reader: a transformers encoder and a linear head that scores starts and ends.

B: windows, T: tokens of the longest window, N: tokens of all windows together, F: hidden size.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from qa.engine.errors import UserError, require
from qa.models.boundary_head import BoundaryHead
from qa.models.packing.byte_dropout import use_byte_dropout
from qa.models.packing.probe import exchange_attention, require_standard_forward
from qa.models.packing.segments import ROUND_TOTAL, Scratch, Segments, round_coarsely, round_up
from qa.models.pretrained import (
    load_boundary_head,
    load_model,
    quiet_transformers,
    revision_of,
    saved_file,
    user_errors,
)

BOUNDARY_FILE = "boundary_head.safetensors"  # beside the weights that transformers reads


class SpanScores(NamedTuple):
    """What a reader says of a batch of windows, fp32."""

    start_logits: torch.Tensor  # (B, T), -inf behind a window's end
    end_logits: torch.Tensor  # (B, T)
    trims: torch.Tensor | None  # (B, T, 2, K) see BoundaryHead; None without one


class SpanReader(nn.Module):
    """Scores every token of a window as the first and as the last token of the answer.

    It holds transformers' own question-answering model and runs its encoder and its head, so saved
    weights load with `AutoModelForQuestionAnswering`, and the other way round. The encoder sees
    the windows packed end to end, without padding, if its attention can be exchanged; `is_packed`
    says so. boundaries: adds a new head, drawn from torch's global generator, that places both ends
    of an answer inside their tokens. new_weights: beginnings of the names of weights that were
    drawn anew for a model that was loaded.
    """

    def __init__(self, model: Any, boundaries: bool = False) -> None:
        super().__init__()
        self.model = model
        self.boundary_head: BoundaryHead | None = None
        self.new_weights: list[str] = []
        self._scratch = Scratch()
        head = getattr(model, "qa_outputs", None)
        if not isinstance(head, nn.Linear) or head.out_features != 2:
            raise UserError(
                f"{type(model).__name__} has no linear span head (qa_outputs with 2 outputs); use"
                " an encoder such as BERT, RoBERTa, ELECTRA or DistilBERT",
            )
        # Four small forwards: two tell whether this model is what it is taken for, two whether
        # its windows can be packed.
        padded, packed = partial(self._logits, False), partial(self._logits, True)
        require_standard_forward(model, padded, self.padding_id)
        self.is_packed = exchange_attention(model, padded, packed)
        use_byte_dropout(self.model)
        if boundaries:
            embedding_size = model.get_input_embeddings().weight.shape[1]
            self.boundary_head = BoundaryHead(head.in_features, embedding_size)

    @property
    def padding_id(self) -> int:
        """The token id behind a window's end, for a model that pads."""
        return getattr(self.model.config, "pad_token_id", None) or 0

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
        num_characters: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> SpanScores:
        """Score packed windows.

        input_ids, num_characters (of the context that a token covers), token_type_ids: (N,).
        slots, lengths, shape: see `Segments`.
        """
        segments = Segments(lengths, slots, shape, self._scratch)
        hidden = self.encode(input_ids, segments, token_type_ids)  # (N, F)
        # In fp32 even under autocast: bf16 has 8 bits, so scores near 10 would tie by the dozen.
        with torch.autocast(input_ids.device.type, enabled=False):
            logits = self.model.qa_outputs(hidden.float())  # (N, 2)
        # Copies, since FSDP2 asks that a module return no views.
        start_logits, end_logits = segments.to_rows(logits, float("-inf")).unbind(2)
        trims = None
        if self.boundary_head is not None:
            # Without their gradient, which would be one more pass over the whole vocabulary.
            table = self.model.get_input_embeddings().weight.detach()
            packed = self.boundary_head(hidden, F.embedding(input_ids, table), num_characters)
            trims = segments.to_rows(packed, 0.0)  # (B, T, 2, K)
        return SpanScores(start_logits.clone(), end_logits.clone(), trims)

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
            # Some tokens more, which no window holds, for the sake of fewer shapes. Training cannot
            # choose what a batch holds; evaluation fills its batches.
            total = len(input_ids)
            rounded = round_up(total, ROUND_TOTAL) if self.training else round_coarsely(total)
            extra = rounded - total
            inputs = {name: F.pad(x, (0, extra)).unsqueeze(0) for name, x in inputs.items()}
            packed: torch.Tensor = encoder(**inputs, segments=segments)[0]
            return packed[0, :total]
        inputs = {name: segments.to_rows(value, 0) for name, value in inputs.items()}  # (B, T)
        # The model's own id: some do more with padding than not attend to it.
        inputs["input_ids"] = segments.to_rows(input_ids, self.padding_id)
        return segments.from_rows(encoder(**inputs, attention_mask=segments.mask.long())[0])

    def _logits(self, packs: bool, **batch: Any) -> torch.Tensor:
        """(2, B, T) start and end logits of windows that the encoder sees packed, or padded."""
        self.is_packed = packs
        return torch.stack(self(**batch)[:2])

    def save_pretrained(
        self, directory: Path, weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Write weights and configuration as transformers does; OSError if that fails.

        The boundary head goes into a file of its own, which transformers leaves alone. weights:
        this reader's state_dict, for a reader that holds only a part of it.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        weights = self.state_dict() if weights is None else weights
        try:
            with quiet_transformers():
                self.model.save_pretrained(directory, state_dict=part(weights, "model."))
            file = Path(directory) / BOUNDARY_FILE
            file.unlink(missing_ok=True)  # of another reader that was saved there
            if self.boundary_head is not None:
                save_file(part(weights, "boundary_head."), file)
        except SafetensorError as error:  # what it makes of a failed write, e.g. on a full disk
            raise OSError(errno.EIO, str(error), str(directory)) from error

    @classmethod
    def from_config(cls, config: Any, boundaries: bool = False) -> SpanReader:
        """A reader with new weights, drawn from torch's global generator."""
        from transformers import AutoModelForQuestionAnswering

        return cls(AutoModelForQuestionAnswering.from_config(config), boundaries)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        attention_dropout: float | None = None,
        hidden_dropout: float | None = None,
        require_head: bool = False,
        boundaries: bool | None = None,
        revision: str | None = None,
    ) -> SpanReader:
        """Load an encoder or a whole reader, fp32, from a directory or the hub.

        A checkpoint without a span head gets a new one, drawn from torch's global generator, unless
        `require_head`. boundaries: with a boundary head, the saved one or a new one; None: with the
        saved one, if there is one. revision: of a hub id, from `revision_of`, which is asked if
        None. Raises UserError if it cannot be loaded or other weights are missing.
        """
        revision = revision or revision_of(name)
        with user_errors(name):
            model, missing = load_model(name, revision, attention_dropout, hidden_dropout)
            saved = None if boundaries is False else saved_file(name, BOUNDARY_FILE, revision)
            reader = cls(model, saved is not None if boundaries is None else boundaries)
            if reader.boundary_head is not None and saved is not None:
                load_boundary_head(reader.boundary_head, saved)
        absent = [key for key in missing if not key.startswith("qa_outputs.")]
        require(not absent, f"{name}: weights are missing, e.g. {', '.join(sorted(absent)[:2])}")
        require(
            not (require_head and missing),
            f"{name}: has no trained span head (qa_outputs); train it first with train.py --model",
        )
        reader.new_weights = ["model.qa_outputs."] if missing else []
        if reader.boundary_head is not None and saved is None:
            reader.new_weights.append("boundary_head.")
        return reader


def model_inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a batch that `SpanReader.forward` takes."""
    names = ("input_ids", "slots", "lengths", "shape", "num_characters", "token_type_ids")
    return {name: batch[name] for name in names if name in batch}


def part(weights: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The weights whose name begins so, without that beginning."""
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
