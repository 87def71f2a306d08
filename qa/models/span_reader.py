"""The span reader: a transformers encoder and a linear head that scores starts and ends.

B: windows, T: tokens of the longest window, N: tokens of all windows together, F: hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from qa.engine.precision import Precision
from qa.models.boundary_head import BoundaryHead
from qa.models.head_parts import first_position, head_parts, hidden_size
from qa.models.loading import load_fitting
from qa.models.model_io import SpanScores
from qa.models.own_head import needs_own_head, own_head_class
from qa.models.packing.alone import encode_alone
from qa.models.packing.batch_form import BatchForm, batch_form
from qa.models.packing.byte_dropout import use_byte_dropout
from qa.models.packing.compiled import compile_layers
from qa.models.packing.cpu_attention import attend_on_cpu
from qa.models.packing.device_trial import (
    choose_attention,
    describe_attention,
    require_precision,
)
from qa.models.packing.end_to_end import encode_packed
from qa.models.packing.gpu_attention import attend_padded
from qa.models.packing.padded import encode_padded
from qa.models.packing.probe import exchange_attention, require_standard_forward, sees_padding
from qa.models.packing.segments import Attend, Scratch, Segments
from qa.models.pair_head import PairHead
from qa.models.pretrained import revision_of
from qa.models.saved_heads import find_heads, load_heads
from qa.models.trained_part import checkpoint_layers
from qa.models.weights import load_model, save_weights

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


class SpanReader(nn.Module):
    """Scores every token of a window as the first and as the last token of the answer.

    It holds transformers' own question-answering model and runs its encoder and its head, so the
    weights that it saves load with `AutoModelForQuestionAnswering`, and the other way round. The
    encoder sees the windows packed end to end, without padding, if `is_packed`: if its attention
    can be exchanged. If `is_alone` it sees windows of one length at a time, since padding would
    change their scores; otherwise padded ones.

    Args:
        model: transformers' question-answering model.
        boundaries: Adds a new head, drawn from torch's global generator, that places both ends of
            an answer inside their tokens.
        pair_width: Adds a new head, drawn likewise, that scores the two ends of answers of up to
            this many tokens together; 0: none.
    """

    def __init__(
        self, model: PreTrainedModel, boundaries: bool = False, pair_width: int = 0
    ) -> None:
        super().__init__()
        self.model = model
        self.boundary_head: BoundaryHead | None = None
        self.pair_head: PairHead | None = None
        # Prefixes of the names of weights that `from_pretrained` drew anew.
        self.new_weights: list[str] = []
        self.notes: list[str] = []  # lines for people on how the checkpoint was loaded
        self.attend: dict[str, Attend] = {"cpu": attend_on_cpu}  # by type of device
        self._scratch = Scratch()
        self.head = head_parts(model)
        # Four small forwards: two to see that this model is nothing but an encoder with a head, two
        # to see whether its windows can be packed. Two more if not: whether it sees padding.
        padded, packed, alone = (
            partial(self._logits, *how) for how in ((False, False), (True, False), (False, True))
        )
        require_standard_forward(model, padded, self.padding_id)
        self.is_packed = exchange_attention(model, padded, packed)
        self.is_alone = not self.is_packed and sees_padding(model, padded, alone)
        use_byte_dropout(self.model)
        if boundaries:
            embedding_size = model.get_input_embeddings().weight.shape[1]
            self.boundary_head = BoundaryHead(hidden_size(model), embedding_size)
        if pair_width:
            self.pair_head = PairHead(hidden_size(model), pair_width)

    @property
    def padding_id(self) -> int:
        """The token id behind a window's end, for a model that pads."""
        return getattr(self.model.config, "pad_token_id", None) or 0

    @property
    def first_position(self) -> int:
        """The position id of a window's first token."""
        return first_position(self.model)

    @property
    def max_length(self) -> int | None:
        """Tokens the model has positions for; None if there is no limit."""
        positions = getattr(self.model.config, "max_position_embeddings", None)
        return positions - self.first_position if positions and positions > 0 else None

    def forward(
        self,
        input_ids: torch.Tensor,
        slots: torch.Tensor,
        shape: tuple[int, int],
        num_characters: torch.Tensor,
        lengths: Sequence[int] | None = None,
        bounds: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> SpanScores:
        """Score packed windows.

        Args:
            input_ids: (N,).
            slots: (N,) each token's index in the flattened (B, T) matrix; see `Segments`.
            shape: (B, T).
            num_characters: (N,) characters of the context that each token covers.
            lengths: Tokens of each window; a GPU does not read them.
            bounds: (windows + 1,) int32 where windows begin and end; a CPU does not read them.
            token_type_ids: (N,); None if the tokenizer makes none.
        """
        windows = self.hidden_states(input_ids, slots, shape, lengths, bounds, token_type_ids)
        return self.score(*windows, input_ids, num_characters)

    def hidden_states(
        self,
        input_ids: torch.Tensor,
        slots: torch.Tensor,
        shape: tuple[int, int],
        lengths: Sequence[int] | None = None,
        bounds: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Segments]:
        """Return the encoder's last hidden states, (N, F), and where the windows lie among them.

        For the arguments see `forward`.
        """
        attend = self.attend.get(input_ids.device.type, attend_padded)
        segments = Segments(slots, shape, self._scratch, attend, lengths, bounds)
        return self.encode(input_ids, segments, token_type_ids), segments

    def score(
        self,
        hidden: torch.Tensor,
        segments: Segments,
        input_ids: torch.Tensor,
        num_characters: torch.Tensor,
    ) -> SpanScores:
        """Score windows whose hidden states are known.

        Args:
            hidden: (N, F) of `hidden_states`.
            segments: Of `hidden_states`.
            input_ids: See `forward`.
            num_characters: See `forward`.
        """
        # In fp32 even under autocast: bf16 has 8 bits, so scores near 10 would tie by the dozen.
        with torch.autocast(input_ids.device.type, enabled=False):
            logits = hidden.float()
            for part in self.head:
                logits = getattr(self.model, part)(logits)  # (N, 2) in the end
        # Copies, since FSDP2 asks that a module return no views.
        start_logits, end_logits = segments.to_rows(logits, float("-inf")).unbind(2)
        trims = None
        if self.boundary_head is not None:
            # Detached: the gradient would be one more pass over the whole vocabulary.
            table = self.model.get_input_embeddings().weight.detach()
            packed = self.boundary_head(hidden, F.embedding(input_ids, table), num_characters)
            trims = segments.to_rows(packed, 0.0)  # (B, T, 2, K)
        pairs = None
        if self.pair_head is not None:
            may_end = segments.to_rows(num_characters > 0, False)  # (B, T)
            pairs = self.pair_head(segments.to_rows(hidden, 0.0), may_end)
        return SpanScores(start_logits.clone(), end_logits.clone(), trims, pairs)

    def encode(
        self, input_ids: torch.Tensor, segments: Segments, token_type_ids: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the encoder's last hidden states, (N, F); for the arguments see `forward`."""
        encoder = self.model.base_model
        # klue/roberta knows one token type only, but its tokenizer makes two.
        has_types = getattr(self.model.config, "type_vocab_size", 0) > 1
        inputs = {"input_ids": input_ids}
        if token_type_ids is not None and has_types:
            inputs["token_type_ids"] = token_type_ids
        if self.is_packed:
            inputs["position_ids"] = segments.positions + self.first_position
            return encode_packed(encoder, inputs, segments)
        if self.is_alone:
            return encode_alone(encoder, inputs, segments)
        return encode_padded(encoder, inputs, segments, self.padding_id)

    def prepare(self, precision: Precision, compiles: bool = False) -> str:
        """Choose how windows attend on the device the model is on; return it in words.

        Call it when the model is on its device, before batches are made for it and before DDP or
        FSDP wrap it. Only a GPU has a choice, which is made by trying; see `why_not`. UserError if
        the model cannot be run in this number format.

        Args:
            precision: The number format of the products, on that device.
            compiles: Compile the encoder's layers; see `compile_layers`, also for what is raised.
        """
        if self.is_packed:
            padded, packed = (partial(self._logits, packs, False) for packs in (False, True))
            self.is_packed = choose_attention(self.model, padded, packed, precision, self.attend)
        how = partial(self._logits, self.is_packed, self.is_alone)
        require_precision(self.model, how, precision, self.is_packed)
        attend = self.attend[precision.device.type] if self.is_packed else None
        if compiles:
            compile_layers(self.model.base_model, attend)
        return describe_attention(attend, self.is_alone) + (", compiled layers" * compiles)

    def batch_form(self, device: torch.device, max_length: int, trains: bool) -> BatchForm:
        """Return the form of the batches that this model is given on a device, for `Collator`.

        `max_length`: the longest that a window can be; `trains`: they are to be trained on.
        """
        return batch_form(self.is_packed, device, max_length, trains)

    def checkpoint_layers(self) -> None:
        """Trade time for memory in training; see `trained_part.checkpoint_layers`."""
        checkpoint_layers(self.model)
        self._scratch.is_checkpointed = True

    def _logits(self, packs: bool, separates: bool, **batch: Any) -> torch.Tensor:
        """Return (2, B, T) start and end logits of windows that the encoder sees in this way."""
        self.is_packed, self.is_alone = packs, separates
        return torch.stack(self(**batch)[:2])

    def save_pretrained(
        self, directory: Path, weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Write weights and configuration as transformers does; OSError if that fails.

        `weights`: this model's state_dict, for a process that holds only a part of it.
        """
        save_weights(self.model, self.state_dict() if weights is None else weights, directory)

    @classmethod
    def from_config(
        cls, config: PretrainedConfig, boundaries: bool = False, pair_width: int = 0
    ) -> SpanReader:
        """Make a model with new weights, drawn from torch's global generator."""
        from transformers import AutoModelForQuestionAnswering

        if needs_own_head(config, False):
            own_model = own_head_class(config, "", None, False)(config)
            return cls(own_model, boundaries, pair_width)
        return cls(AutoModelForQuestionAnswering.from_config(config), boundaries, pair_width)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        attention_dropout: float | None = None,
        hidden_dropout: float | None = None,
        require_head: bool = False,
        boundaries: bool | None = None,
        pair_width: int | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ) -> SpanReader:
        """Load an encoder, or one with a trained head, fp32.

        Args:
            name: A directory or hub id.
            attention_dropout: Probability; None keeps the model's own.
            hidden_dropout: Probability; None keeps the model's own.
            require_head: Refuse a checkpoint without a span head. Otherwise it gets a new one,
                drawn from torch's global generator.
            boundaries: True: with a boundary head, the saved one or a new one. False: without.
                None: with the saved one, if there is one.
            pair_width: Above 0: with a pair head for answers of at least this many tokens, the
                saved one or a new one. 0: without. None: with the saved one, if there is one.
            revision: Commit of a hub id, from `revision_of`, which is asked if None.
            trust_remote_code: Run the code that comes with the model, if there is any.

        Raises:
            UserError: The model cannot be loaded, or other weights than a head's are missing.
        """
        revision = revision or revision_of(name)
        load = partial(
            load_model, name, revision, attention_dropout, hidden_dropout, trust_remote_code
        )
        heads, files = find_heads(name, revision, boundaries, pair_width)
        make = partial(cls, **heads)
        loading, model, notes = load_fitting(name, load, make, require_head)
        model.notes = notes
        model.new_weights = [f"model.{part}." for part in loading.new_parts]
        model.new_weights += load_heads(model, files)
        if model.pair_head is not None and pair_width:
            model.pair_head.widen(pair_width)
        return model
