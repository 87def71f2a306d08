"""Windows on disk: made once, memory-mapped afterwards, found again by their fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa.data.examples import Example
from qa.data.windows.cut import Windows
from qa.data.windows.iterate import iterate_rows, window_columns
from qa.data.windows.options import WindowOptions
from qa.data.windows.tokens import plain_backend
from qa.engine.atomic_files import flush
from qa.engine.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset, Features
    from transformers import PreTrainedTokenizerFast

# In the name of the file; raise it when the same input gives other windows.
CACHE_VERSION = 5
# In the fingerprint, by which a resumed run knows its data; another number would refuse all.
FINGERPRINT_VERSION = 4
TOKEN_COLUMNS = ("input_ids", "offset_starts", "offset_ends", "token_type_ids")  # have all tokens
# A stream of Arrow ends with this. Without the check, one that is cut off between two of its parts
# would be read as a shorter one.
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def cached_windows(
    examples: list[Example],
    tokenizer: PreTrainedTokenizerFast,
    options: WindowOptions,
    cache_dir: str | Path | None = None,
    *,
    fingerprint: str | None = None,
) -> Dataset:
    """Return the windows of `iterate_windows` as a data set with numpy columns.

    Any change of an example, the tokenizer or an option gives another fingerprint and so another
    file; the same input is read back without tokenising, unless the file is damaged. Files are in
    the folder qa-windows of `cache_dir`, by default that of `datasets`. `fingerprint` is what
    `windows_fingerprint` returns for the other arguments, if that is known already.

    Raises:
        UserError: The file cannot be written.
    """
    import datasets  # late: takes a second to import

    fingerprint = fingerprint or windows_fingerprint(examples, tokenizer, options)
    directory = Path(cache_dir or datasets.config.HF_DATASETS_CACHE) / "qa-windows"
    path = directory / f"{fingerprint}-{CACHE_VERSION}.arrow"
    windows = read_windows(path)
    if windows is None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            write_windows(path, examples, tokenizer, options)
        except OSError as error:
            raise UserError(
                f"{directory}: the cache of windows cannot be written there"
                f" ({error.strerror or error}); set HF_DATASETS_CACHE to a directory with free"
                " space that can be written to"
            ) from error
        windows = datasets.Dataset.from_file(str(path))
    return windows.with_format("numpy")


def read_windows(path: Path) -> Dataset | None:
    """Return the windows of a file, memory-mapped; None if it does not exist or is damaged."""
    import datasets

    try:
        with path.open("rb") as file:
            file.seek(-len(END_OF_STREAM), os.SEEK_END)
            is_whole = file.read() == END_OF_STREAM
        return datasets.Dataset.from_file(str(path)) if is_whole else None
    except (OSError, ValueError):  # pyarrow's own errors are of both kinds
        return None


def write_windows(
    path: Path,
    examples: list[Example],
    tokenizer: PreTrainedTokenizerFast,
    options: WindowOptions,
) -> None:
    """Write the file that `datasets` maps into memory, atomically."""
    import pyarrow

    schema = window_features("token_type_ids" in tokenizer.model_input_names).arrow_schema
    # Each process writes a file of its own. The process id would not tell processes apart if
    # containers share the cache.
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


def window_features(with_token_type_ids: bool) -> Features:
    """Return the column types of the windows on disk; `iterate_windows` says what they mean."""
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


def read_rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield the windows of `cached_windows` as `iterate_windows` does."""
    for windows in iterate_columns(dataset):
        yield from iterate_rows(windows)


def iterate_columns(dataset: Dataset) -> Iterator[Windows]:
    """Yield the windows of `cached_windows` as columns, as many at a time as were cut together.

    Columns stay on the disk until they are used.
    """
    for batch in dataset.data.to_batches():
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        lists = {name: columns.pop(name) for name in TOKEN_COLUMNS if name in columns}
        bounds = lists["input_ids"].offsets.to_numpy()
        yield Windows(
            {name: each.to_numpy(zero_copy_only=False) for name, each in columns.items()},
            {name: each.values.to_numpy() for name, each in lists.items()},
            bounds,
        )


def windows_fingerprint(
    examples: list[Example], tokenizer: PreTrainedTokenizerFast, options: WindowOptions
) -> str:
    """Return a hex digest of everything that the windows depend on but the code that cuts them."""
    settings = [FINGERPRINT_VERSION, asdict(options), sorted(tokenizer.model_input_names)]
    digest = hashlib.sha256(json.dumps(settings).encode())
    # Not a hash of the pickled tokenizer, which changes with the padding of its last call.
    digest.update(plain_backend(tokenizer).to_str().encode())
    contexts: dict[str, str] = {}  # context -> its digest; most have several questions
    for e in examples:
        if e.context not in contexts:
            contexts[e.context] = hashlib.sha256(e.context.encode()).hexdigest()
        row = (e.id, e.question, contexts[e.context], e.answers, e.answer_starts)
        digest.update(repr(row).encode())
    return digest.hexdigest()[:32]
