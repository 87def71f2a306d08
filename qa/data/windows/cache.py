"""Windows on disk: built once, memory-mapped afterwards, found again by their fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qa.data.examples import Example
from qa.data.windows.iterate import window_columns
from qa.data.windows.options import WindowOptions
from qa.data.windows.tokens import plain_backend
from qa.engine.atomic_files import flush
from qa.engine.errors import UserError

CACHE_VERSION = 4  # raise it when the same input gives other windows
# What a stream of Arrow ends with. One that is cut off between two of its parts reads as shorter.
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def cached_windows(
    examples: list[Example],
    tokenizer: Any,
    options: WindowOptions,
    cache_dir: str | Path | None = None,
    *,
    fingerprint: str | None = None,
) -> Any:
    """The windows of `iterate_windows` as a `datasets.Dataset` with numpy columns.

    Any change of an example, the tokenizer or an option gives another fingerprint and so other
    windows; the same input is read back without tokenising, unless the file is damaged. cache_dir:
    `datasets`' own by default. fingerprint: what `windows_fingerprint` gives for these arguments,
    if it is known already.
    """
    import datasets  # late: takes a second to import

    fingerprint = fingerprint or windows_fingerprint(examples, tokenizer, options)
    directory = Path(cache_dir or datasets.config.HF_DATASETS_CACHE) / "qa-windows"
    path = directory / f"{fingerprint}.arrow"
    windows = read_windows(path)
    if windows is None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            write_windows(path, examples, tokenizer, options)
        except OSError as error:
            raise UserError(
                f"{directory}: the cache of windows cannot be written there"
                f" ({error.strerror or error}); set HF_DATASETS_CACHE to a directory with room that"
                " can be written"
            ) from error
        windows = datasets.Dataset.from_file(str(path))
    return windows.with_format("numpy")


def read_windows(path: Path) -> Any:
    """The windows of a file, mapped into memory; None if it is not there or damaged."""
    import datasets

    try:
        with path.open("rb") as file:
            file.seek(-len(END_OF_STREAM), os.SEEK_END)
            is_whole = file.read() == END_OF_STREAM
        return datasets.Dataset.from_file(str(path)) if is_whole else None
    except (OSError, ValueError):  # pyarrow's own errors are of both kinds
        return None


def write_windows(
    path: Path, examples: list[Example], tokenizer: Any, options: WindowOptions
) -> None:
    """Write the file that `datasets` maps into memory, at once or not at all."""
    import pyarrow

    schema = window_features("token_type_ids" in tokenizer.model_input_names).arrow_schema
    # Another process has its own. Containers that share the cache may share numbers of processes.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with (
            pyarrow.OSFile(str(temporary), "wb") as file,
            pyarrow.ipc.new_stream(file, schema) as stream,
        ):
            for windows in window_columns(examples, tokenizer, options, ahead=True):
                bounds = pyarrow.array(windows.bounds, pyarrow.int32())
                columns = {
                    **windows.values,
                    **{
                        name: pyarrow.ListArray.from_arrays(bounds, column)
                        for name, column in windows.tokens.items()
                    },
                }
                stream.write_table(pyarrow.table(columns, schema=schema))
        flush(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def window_features(with_token_type_ids: bool) -> Any:
    """Column types of the windows on disk; see `iterate_windows` for their meaning."""
    import datasets

    integers = datasets.List(datasets.Value("int32"))
    columns = {
        "example_index": datasets.Value("int32"),
        "input_ids": integers,
        "offset_starts": integers,
        "offset_ends": integers,
        "start_position": datasets.Value("int32"),
        "end_position": datasets.Value("int32"),
        "start_trim": datasets.Value("int32"),
        "end_trim": datasets.Value("int32"),
        "has_answer": datasets.Value("bool"),
        "question_was_cut": datasets.Value("bool"),
        "length": datasets.Value("int32"),
    }
    if with_token_type_ids:
        columns["token_type_ids"] = integers
    return datasets.Features(columns)


def iterate_rows(dataset: Any, rows_per_read: int = 256) -> Iterator[dict[str, Any]]:
    """The rows of a `datasets.Dataset`, read many at a time, which is what makes it fast."""
    for columns in dataset.iter(batch_size=rows_per_read):
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))


def windows_fingerprint(examples: list[Example], tokenizer: Any, options: WindowOptions) -> str:
    """Hex digest of everything the windows depend on."""
    settings = [CACHE_VERSION, asdict(options), sorted(tokenizer.model_input_names)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    # Not the tokenizer's hash by pickle: it changes with the padding state of its last call.
    digest.update(plain_backend(tokenizer).to_str().encode())
    contexts: dict[str, str] = {}  # most stand under several questions
    for e in examples:
        if e.context not in contexts:
            contexts[e.context] = hashlib.sha256(e.context.encode()).hexdigest()
        row = (e.id, e.question, contexts[e.context], e.answers, e.answer_starts)
        digest.update(repr(row).encode())
    return digest.hexdigest()[:32]
