"""Loading what a `Reader` is made of, from a directory or the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa.answering.answerer import Answerer, make_answerer
from qa.answering.finders import AnyModel
from qa.answering.options import CollectionOptions
from qa.answering.questions import kind
from qa.answering.reader_settings import (
    DECODING,
    SETTINGS_FILE,
    fitting_settings,
    make_options,
    read_settings,
)
from qa.data.windows.options import WindowOptions, require_fits
from qa.engine.device import resolve_device
from qa.engine.errors import notice, require
from qa.engine.precision import Precision
from qa.models.onnx_reader import ONNX_FILE, OnnxReader, is_export
from qa.models.part_files import PART_FILES, has_decoder
from qa.models.pretrained import load_tokenizer, revision_of, saved_file
from qa.models.readers import load_reader
from qa.models.span_reader import SpanReader
from qa.models.vocabulary import configured_embeddings, num_embeddings, require_vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def load(
    name: str,
    device: str,
    precision: str,
    trust_remote_code: bool,
    settings: dict[str, Any],
) -> tuple[Answerer, PreTrainedTokenizerFast, WindowOptions, CollectionOptions]:
    """Return a reader's model, ready to answer, its tokenizer, and how it is to be used.

    `settings` replace those saved with the model; for them, for the other arguments and for what is
    raised see `qa.answering.reader.Reader.from_pretrained`.
    """
    revision = revision_of(name)
    trusts = {"trust_remote_code": True} if trust_remote_code else {}
    settings_file = saved_file(name, SETTINGS_FILE, revision)
    saved = read_settings(settings_file)
    if os.path.isdir(name):
        require_whole(name)
    writes = DECODING in saved or has_decoder(name)
    require(
        writes or settings.get(DECODING) is None,
        f"{name}: is no generative reader, so that decoding has no meaning; leave it out",
    )
    model: AnyModel
    if is_export(name):
        model = load_export(name, device, precision)
        device, precision = "cpu", "fp32"
        vocabulary = configured_embeddings(name)
    else:
        options = {"require_head": True, "revision": revision, **trusts}
        model = trained = load_reader(name, writes, {}, **options)
        for note in trained.notes:
            notice(note)
        vocabulary = num_embeddings(trained)
    tokenizer = load_tokenizer(name, revision, **trusts)
    require_vocabulary(name, tokenizer, vocabulary)
    saved = saved or fitting_settings(model.max_length)
    if settings.get(DECODING) is None:
        settings = {name: value for name, value in settings.items() if name != DECODING}
    windows, decoding, collection, batch_size = make_options({**saved, **settings})
    require_fits(tokenizer, model.max_length, windows)
    if isinstance(model, SpanReader) and model.pair_head is not None:
        model.pair_head.widen(min(decoding.max_answer_length, windows.max_seq_length))
    torch_device = resolve_device(device)
    number_format = Precision(precision, torch_device)
    model.to(torch_device).eval()
    model.prepare(number_format)
    longest = windows.max_seq_length
    answerer = make_answerer(model, longest, decoding, number_format, batch_size, tokenizer)
    return answerer, tokenizer, windows, collection


def require_whole(name: str) -> None:
    """Raise UserError, or say, if a directory lacks a file without which it answers otherwise."""
    present = set(os.listdir(name))
    require(
        SETTINGS_FILE not in present or "tokenizer_config.json" in present,
        f"{name}: its tokenizer_config.json is missing, without which texts are cut otherwise; copy"
        " the whole directory again",
    )
    if SETTINGS_FILE not in present and present & {*PART_FILES}:
        notice(
            f"{name}: its {SETTINGS_FILE} is missing; lengths, threshold and temperature are the"
            " usual ones"
        )


def is_generative(name: str) -> bool:
    """Return whether a saved reader writes its answers, without loading it.

    Its settings say so; in a directory so does the file of qa's own decoder.
    """
    saved = saved_file(name, SETTINGS_FILE, revision_of(name))
    return DECODING in read_settings(saved) or has_decoder(name)


def load_export(name: str, device: str, precision: str) -> OnnxReader:
    """Load the model of an export; UserError if the arguments ask for what it cannot do."""
    require(
        device in ("auto", "cpu") and precision in ("auto", "fp32"),
        f"{name}: is an ONNX export, which runs on the CPU in the form that it was written in;"
        " leave out device and precision",
    )
    return OnnxReader(Path(name) / ONNX_FILE)


def require_types(directory: Any, device: Any, precision: Any, trust_remote_code: Any) -> None:
    """Raise UserError, naming it, if an argument of `Reader.from_pretrained` is of another type."""
    require(
        isinstance(directory, str | Path),
        f"pass the directory of a reader or an id of the hub, not {kind(directory)}",
    )
    require(str(directory), "the directory of the reader is empty")
    for name, value in (("device", device), ("precision", precision)):
        require(
            isinstance(value, str), f"{name} must be a string such as 'auto', not {kind(value)}"
        )
    require(
        isinstance(trust_remote_code, bool),  # "no" would be taken for a yes
        f"trust_remote_code must be True or False, not {kind(trust_remote_code)}",
    )
