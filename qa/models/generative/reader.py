"""The generative reader: a span reader's encoder and a decoder that writes the answer.

B: windows, T: tokens of the longest window, N: tokens of all windows together, F: hidden size,
E: embedding size, V: vocabulary, M: targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from qa.engine.errors import require
from qa.engine.precision import Precision
from qa.models.generative.copy_decoder import CopyDecoder
from qa.models.generative.places import context_places
from qa.models.generative.reading import Reading
from qa.models.generative.saved_layers import saved_layers
from qa.models.generative.teacher_forcing import target_log_probs
from qa.models.generative.writer import CopyWriter
from qa.models.head_parts import hidden_size
from qa.models.model_io import SpanScores
from qa.models.packing.batch_form import BatchForm
from qa.models.part_files import DECODER_FILE, load_part, without_prefix, written_weights
from qa.models.pretrained import revision_of, saved_file
from qa.models.span_reader import SpanReader
from qa.models.weights import HIDDEN_DROPOUT_NAMES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

DECODER_LAYERS = 2


def num_heads(config: PretrainedConfig, size: int) -> int:
    """Return the heads of the decoder's attention: the encoder's, if they part its width evenly."""
    heads = getattr(config, "num_attention_heads", None) or max(1, size // 64)
    return heads if size % heads == 0 else 1


class GenerativeReader(nn.Module):
    """Writes the answer to a question token by token, copying from the window where it can.

    Encoder, packing, span head and boundary head are a `SpanReader`'s: the span head is trained
    along if a weight is given to it, and the boundary head places the ends of an answer that stands
    in the context inside their tokens, as ever.

    Args:
        reader: Its encoder reads.
        decoder_layers: Layers of the new decoder, drawn from torch's global generator.
        trains_span_head: Whether the span head has a part in the loss; otherwise it is frozen,
            since DDP refuses weights without a gradient.
    """

    def __init__(
        self,
        reader: SpanReader,
        decoder_layers: int = DECODER_LAYERS,
        trains_span_head: bool = True,
    ) -> None:
        super().__init__()
        self.reader = reader
        config, size = reader.model.config, hidden_size(reader.model)
        require(
            isinstance(getattr(reader.model.get_input_embeddings(), "weight", None), torch.Tensor),
            f"reader generative: {config.model_type} has no table of embeddings to write tokens"
            " with; pass another --model, or --reader span",
        )
        dropouts = (getattr(config, name, None) for name in HIDDEN_DROPOUT_NAMES)
        self.decoder = CopyDecoder(
            size,
            self.table.shape[1],
            num_heads(config, size),
            decoder_layers,
            next((value for value in dropouts if value is not None), 0.0),
        )
        self.new_weights = [f"reader.{name}" for name in reader.new_weights]
        if not trains_span_head:
            for part in reader.head:
                getattr(reader.model, part).requires_grad_(False)

    @property
    def table(self) -> torch.Tensor:
        """(V, E) the encoder's embeddings of tokens, which the decoder reads and writes with."""
        weight: torch.Tensor = self.reader.model.get_input_embeddings().weight
        return weight

    @property
    def model(self) -> PreTrainedModel:
        """The model of transformers that has the encoder."""
        return self.reader.model

    @property
    def notes(self) -> list[str]:
        """Lines for people on how the checkpoint was loaded."""
        return self.reader.notes

    @property
    def is_packed(self) -> bool:
        """Whether the encoder sees windows end to end, without padding."""
        return self.reader.is_packed

    @property
    def is_alone(self) -> bool:
        """Whether the encoder sees windows of one length at a time."""
        return self.reader.is_alone

    @property
    def max_length(self) -> int | None:
        """Tokens the encoder has positions for; None if there is no limit."""
        return self.reader.max_length

    def prepare(self, precision: Precision, compiles: bool = False) -> str:
        """Choose how windows attend on the device; see `SpanReader.prepare`."""
        return self.reader.prepare(precision, compiles)

    def batch_form(self, device: torch.device, max_length: int, trains: bool) -> BatchForm:
        """Return the form of the batches; see `SpanReader.batch_form`."""
        return self.reader.batch_form(device, max_length, trains)

    def checkpoint_layers(self) -> None:
        """Trade time for memory in the encoder; see `trained_part.checkpoint_layers`."""
        self.reader.checkpoint_layers()

    def forward(
        self, target_ids: torch.Tensor, target_rows: torch.Tensor, **inputs: Any
    ) -> tuple[SpanScores, torch.Tensor]:
        """Return the span scores, and (M,) the log-probability of each target.

        Args:
            target_ids: (B, L) of `target_log_probs`.
            target_rows: (M,) of `target_log_probs`.
            inputs: The windows, as `SpanReader.forward` takes them.
        """
        reading = self.read(**inputs)
        assert reading.scores is not None
        return reading.scores, self.log_probs(reading, target_ids, target_rows)

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
        hidden, segments = self.reader.hidden_states(
            input_ids, slots, shape, lengths, bounds, token_type_ids
        )
        scores = self.reader.score(hidden, segments, input_ids, num_characters)
        ids = segments.to_rows(input_ids, 0)
        num_characters = segments.to_rows(num_characters, 0)  # (B, T)
        rows = segments.to_rows(hidden, 0.0)  # (B, T, F)
        memory = self.decoder.remember(rows, ids, segments.mask)
        return Reading(scores, memory, ids, context_places(num_characters), num_characters > 0)

    def log_probs(
        self, reading: Reading, target_ids: torch.Tensor, target_rows: torch.Tensor
    ) -> torch.Tensor:
        """Return (M,) the log-probability of each target; see `target_log_probs`."""
        context = reading.memory, self.table, reading.in_context
        return target_log_probs(self.decoder, *context, target_ids, target_rows)

    def writer(self, reading: Reading) -> CopyWriter:
        """Return what writes answers about these windows."""
        return CopyWriter(self.decoder, reading.memory, self.table)

    def save_pretrained(
        self, directory: Path, weights: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Write the encoder as a `SpanReader` does, and the decoder beside it.

        `weights`: this model's state_dict, for a process that holds only a part of it.
        """
        from safetensors.torch import save_file

        state = self.state_dict() if weights is None else weights
        with written_weights(directory):
            self.reader.save_pretrained(directory, without_prefix(state, "reader."))
            save_file(without_prefix(state, "decoder."), Path(directory) / DECODER_FILE)

    @classmethod
    def from_config(
        cls,
        config: PretrainedConfig,
        boundaries: bool = False,
        decoder_layers: int = DECODER_LAYERS,
        trains_span_head: bool = True,
    ) -> GenerativeReader:
        """Make a model with new weights, drawn from torch's global generator."""
        return cls(SpanReader.from_config(config, boundaries), decoder_layers, trains_span_head)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        decoder_layers: int = DECODER_LAYERS,
        trains_span_head: bool = True,
        require_head: bool = False,
        revision: str | None = None,
        **options: Any,
    ) -> GenerativeReader:
        """Load an encoder, a span reader or a generative reader.

        Args:
            name: A directory or hub id.
            decoder_layers: Layers of a decoder that is new; a saved one keeps its own.
            trains_span_head: See the class.
            require_head: Refuse a checkpoint without a trained decoder.
            revision: Commit of a hub id, from `revision_of`, which is asked if None.
            options: Of `SpanReader.from_pretrained`, without `pair_width`: it has no pair head.

        Raises:
            UserError: The model cannot be loaded, or other weights than a head's are missing.
        """
        revision = revision or revision_of(name)
        saved = saved_file(name, DECODER_FILE, revision)
        require(
            saved is not None or not require_head,
            f"{name}: has no trained decoder ({DECODER_FILE}); train it first with train.py"
            " --reader generative --model",
        )
        reader = SpanReader.from_pretrained(
            name, require_head=require_head, revision=revision, pair_width=0, **options
        )
        layers = decoder_layers if saved is None else saved_layers(saved)
        require(
            decoder_layers in (layers, DECODER_LAYERS),
            f"{name}: its decoder has {layers} layers, not {decoder_layers}; leave out"
            " decoder_layers",
        )
        model = cls(reader, layers, trains_span_head)
        if saved is None:
            model.new_weights.append("decoder.")
        else:
            load_part(model.decoder, saved)
        return model
