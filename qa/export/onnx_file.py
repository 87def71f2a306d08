"""Writing a span reader as an ONNX file, in fp32."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from qa.engine.errors import require
from qa.export.wrapper import PaddedReader, require_exportable
from qa.models.onnx_reader import MAX_LENGTH, METADATA, PADDING_ID, import_extra
from qa.models.span_reader import SpanReader

OPSET = 20
LARGEST = 2**31  # bytes of one ONNX file, which is a protobuf message
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_packages() -> None:
    """Raise UserError, saying what to install, unless the extra `export` is there."""
    for package in PACKAGES:
        import_extra(package)


def write_onnx(reader: SpanReader, file: Path, with_types: bool) -> None:
    """Write a model as an ONNX file of windows of any number and length.

    Its inputs and outputs are those of `PaddedReader.forward`, under their names. Costs about twice
    the weights in memory.

    Args:
        reader: On the CPU, in evaluation mode, fp32.
        file: Gets the graph and the weights.
        with_types: The tokenizer makes token types; they are an input if the model knows several.

    Raises:
        UserError: This kind of model is not tested, or too large for one file.
    """
    require_exportable(reader)
    size = sum(p.numel() * p.element_size() for p in reader.parameters())
    require(
        size < LARGEST,
        f"the model has {size / 1e9:.2f} GB of weights, but an ONNX file holds 2.1 GB; export a"
        " smaller reader",
    )
    names, outputs = ["input_ids", "attention_mask"], ["start_logits", "end_logits"]
    heads = {"trims": reader.boundary_head, "pairs": reader.pair_head}
    outputs += [name for name, head in heads.items() if head is not None]
    if len(outputs) > 2:
        names.append("num_characters")
    if with_types and getattr(reader.model.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    # Two windows: the exporter would take a single one for the only number there is.
    example = {name: torch.ones(2, 8, dtype=torch.long) for name in names}
    example["input_ids"] += reader.padding_id  # none is padding
    longest = reader.max_length or 512
    windows, tokens = torch.export.Dim("windows", min=1), torch.export.Dim("tokens", max=longest)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            PaddedReader(reader).eval(),
            kwargs=example,
            dynamo=True,
            dynamic_shapes=dict.fromkeys(names, {0: windows, 1: tokens}),
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    facts = {MAX_LENGTH: reader.max_length, PADDING_ID: reader.padding_id}
    program.model.metadata_props[METADATA] = json.dumps(facts)
    program.save(str(file), external_data=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what exporter and quantiser say of themselves; errors are raised all the same."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
