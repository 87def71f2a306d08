"""The two readers that can be trained, chosen here: how each is made, loaded and taught."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from qa.engine.errors import require
from qa.models.generative.loss import generative_loss
from qa.models.generative.reader import DECODER_LAYERS, GenerativeReader
from qa.models.generative.seq2seq import Seq2SeqReader
from qa.models.loss import reader_loss
from qa.models.part_files import DECODER_FILE
from qa.models.pretrained import revision_of, saved_file, user_errors
from qa.models.span_reader import SpanReader

if TYPE_CHECKING:
    from transformers import PretrainedConfig

WritingReader: TypeAlias = GenerativeReader | Seq2SeqReader
WRITING = (GenerativeReader, Seq2SeqReader)
AnyReader: TypeAlias = SpanReader | WritingReader


def make_reader(
    config: PretrainedConfig,
    boundaries: bool,
    pair_width: int,
    is_generative: bool,
    **options: Any,
) -> AnyReader:
    """Make a reader with new weights, drawn from torch's global generator.

    Args:
        config: The encoder's.
        boundaries: With a boundary head.
        pair_width: Tokens of the widest answer that a pair head scores; 0: without one, as any
            reader that writes answers.
        is_generative: It writes answers, instead of finding their ends.
        options: Of a generative reader.
    """
    if is_generative:
        return GenerativeReader.from_config(config, boundaries, **options)
    return SpanReader.from_config(config, boundaries, pair_width)


def load_reader(
    name: str, is_generative: bool, decoder: dict[str, Any], **options: Any
) -> AnyReader:
    """Load a reader, or an encoder to make one of; UserError if that fails.

    Args:
        name: A directory or hub id.
        is_generative: It writes answers, instead of finding their ends.
        decoder: Options of a generative reader only.
        options: Of `SpanReader.from_pretrained`.
    """
    if is_generative:
        options.pop("pair_width", None)  # it has no pair head
    if is_generative and is_encoder_decoder(name, options):
        require(
            not decoder.get("trains_span_head")
            and decoder.get("decoder_layers", DECODER_LAYERS) == DECODER_LAYERS,
            f"{name}: has a decoder of its own and no span head; leave out decoder_layers and"
            " span_loss_weight",
        )
        for head in ("boundaries", "require_head"):  # it has none
            options.pop(head, None)
        return Seq2SeqReader.from_pretrained(name, **options)
    if is_generative:
        return GenerativeReader.from_pretrained(name, **decoder, **options)
    is_start = not options.get("require_head")  # of a training; a trained reader is told before
    revision = options.get("revision") or revision_of(name)
    require(
        not is_start or saved_file(name, DECODER_FILE, revision) is None,
        f"{name}: is a generative reader, whose span head is not trained; pass --reader generative,"
        f" or remove {DECODER_FILE} (of a copy) to start from its encoder",
    )
    return SpanReader.from_pretrained(name, **options)


def is_encoder_decoder(name: str, options: dict[str, Any]) -> bool:
    """Return whether a model has a decoder of its own; for the arguments see `load_reader`."""
    from transformers import AutoConfig

    with user_errors(name):
        config = AutoConfig.from_pretrained(
            name,
            revision=options.get("revision") or revision_of(name),
            trust_remote_code=options.get("trust_remote_code", False),
        )
    return bool(getattr(config, "is_encoder_decoder", False))


def loss_of(model: AnyReader, r_drop: float, span_loss_weight: float) -> Callable[..., Any]:
    """Return the loss function that the engine is given for this reader.

    Args:
        model: The reader.
        r_drop: See `reader_loss`; of a span reader.
        span_loss_weight: See `generative_loss`.
    """
    if isinstance(model, WRITING):
        return partial(generative_loss, span_loss_weight=span_loss_weight)
    return partial(reader_loss, r_drop=r_drop)
