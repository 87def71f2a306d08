"""A span reader that onnxruntime runs on the CPU, from a file that `qa export` wrote.

B: windows, T: tokens of the longest window, N: tokens of all windows together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qa.engine.errors import UserError, cut, require
from qa.models.model_io import SpanScores
from qa.models.packing.batch_form import BatchForm
from qa.models.packing.segments import to_rows

ONNX_FILE = "model.onnx"
EXPORT_FILE = "export.json"  # beside it: how it was checked; what marks an export
METADATA = "qa"  # of the file: JSON with these names
MAX_LENGTH, PADDING_ID = "max_length", "padding_id"

EXTRA = "pip install 'qa[export]'"


def is_export(name: str) -> bool:
    """Return whether `name` is a directory that `qa export` wrote."""
    return Path(name, EXPORT_FILE).is_file()


def import_extra(module: str) -> Any:
    """Import a module of the extra `export`; UserError, saying what to install, if missing."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UserError(
            f"ONNX needs the package {package}, which is not installed: {EXTRA}"
        ) from error


class OnnxReader(nn.Module):
    """Scores windows as `SpanReader` does; it cannot be trained or saved.

    Args:
        file: What `qa.export.onnx_file.write_onnx` wrote, or a quantised form of it.

    Raises:
        UserError: onnxruntime is not installed, or the file is none of `qa export`.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        runtime = import_extra("onnxruntime")
        options = runtime.SessionOptions()
        # onnxruntime does not read OMP_NUM_THREADS; torch does.
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors only
        require(file.is_file(), f"{file}: is missing; export the reader again")
        try:
            self.session = runtime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
            facts = json.loads(self.session.get_modelmeta().custom_metadata_map[METADATA])
        except Exception as error:  # onnxruntime raises classes of its own without a common base
            raise UserError(
                f"{file}: cannot be loaded as an export of qa ({cut(str(error))}); export the"
                " reader again"
            ) from error
        self.max_length: int | None = facts[MAX_LENGTH]
        self.padding_id: int = facts[PADDING_ID]
        self.input_names = [each.name for each in self.session.get_inputs()]
        self.output_names = [each.name for each in self.session.get_outputs()]

    def prepare(self, precision: Any, compiles: bool = False) -> str:
        """Return in words how windows attend; there is nothing to choose."""
        return "padded windows, by onnxruntime"

    def batch_form(self, device: torch.device, max_length: int, trains: bool) -> BatchForm:
        """Return the form of the batches: padded; for the arguments see `SpanReader`."""
        return BatchForm(True, None, False)

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
        """Score packed windows, whose matrix is padded; for the arguments see `SpanReader`."""
        packed: Mapping[str, tuple[torch.Tensor | None, int]] = {
            "input_ids": (input_ids, self.padding_id),
            "attention_mask": (torch.ones_like(input_ids), 0),
            "num_characters": (num_characters, 0),
            "token_type_ids": (token_type_ids, 0),
        }
        feed = {}
        for name in self.input_names:
            values, fill = packed[name]
            require(values is not None, f"the exported model needs {name} of its tokenizer")
            assert values is not None
            feed[name] = to_rows(values, slots, shape, fill).numpy()  # (B, T)
        found = map(torch.from_numpy, self.session.run(None, feed))
        scores = dict(zip(self.output_names, found, strict=True))
        heads = scores.get("trims"), scores.get("pairs")
        return SpanScores(scores["start_logits"], scores["end_logits"], *heads)
