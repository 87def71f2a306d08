"""The directory of an export: the ONNX file and all that `Reader` needs beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from qa.answering.reader import Reader
from qa.data.examples import Example
from qa.data.windows.iterate import iterate_windows
from qa.engine.atomic_files import replace_directory
from qa.engine.errors import require
from qa.engine.json_files import write_json
from qa.export.gate import Row
from qa.export.onnx_file import PACKAGES, require_packages
from qa.export.search import Search
from qa.models.onnx_reader import EXPORT_FILE, ONNX_FILE
from qa.models.span_reader import SpanReader

NO_LOOP = (
    "a generative reader cannot be exported: an export holds no loop that writes; train one with"
    " --reader span"
)


def export_reader(
    reader: Reader,
    directory: Path,
    examples: list[Example],
    smaller: bool = False,
    report: Callable[[Row], None] = lambda row: None,
) -> str:
    """Write an export of a reader that answers as the reader does, or leave `directory` as it is.

    Args:
        reader: On the CPU, fp32.
        directory: Gets model.onnx, tokenizer, config.json, reader.json and export.json; what it
            holds is replaced.
        examples: The questions, with gold answers, on which the export is checked.
        smaller: Search for a smaller form; see `Search.write_best`, also for what is raised.
        report: Is told each form that was measured.

    Returns:
        Name of the form that was written.

    Raises:
        UserError: A package is missing, or this kind of model cannot be exported.
    """
    require(isinstance(reader.model, SpanReader), NO_LOOP)
    require_packages()
    coverage = reader.coverage()
    windows = list(iterate_windows(examples, reader.tokenizer, reader.windows, coverage))
    search = Search(reader, examples, windows, report)
    with replace_directory(directory) as path:
        form = search.write_best(path / ONNX_FILE, smaller)
        reader.model.model.config.save_pretrained(path)
        reader.save_settings(path)
        write_json(
            path / EXPORT_FILE,
            {
                "form": form,
                "score": search.metric,
                "questions": len(examples),
                "windows": len(windows),
                "forms": [asdict(row) for row in search.rows],
                "versions": {name: version(name) for name in ("torch", *PACKAGES)},
            },
        )
    coverage.give_notices()
    return form
