"""Parquet and Arrow files as rows; Arrow in both of its forms, file and stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qa.data.formats.files import DataFile
from qa.data.formats.json_rows import NESTED, Row, flatten
from qa.data.formats.names import known_keys
from qa.data.formats.tables import require_columns
from qa.engine.errors import UserError, cut, require

END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
BATCH = 1000  # rows that are Python objects at a time


def columnar_rows(file: DataFile, labelled: bool) -> Iterator[Row]:
    """Yield the rows of a Parquet or an Arrow file; `labelled` rows must have answers.

    Rows may be questions, or articles as in SQuAD's JSON.
    """
    import pyarrow

    kind, batches = ("Arrow", _arrow) if file.suffix == ".arrow" else ("Parquet", _parquet)
    number = 0
    try:
        for batch in batches(file, labelled):
            for start in range(0, batch.num_rows, BATCH):
                for row in batch.slice(start, BATCH).to_pylist():
                    yield from flatten(row, f"{file.name}: row {number}")
                    number += 1
    except UserError:
        raise
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{file.name}: is not a whole {kind} file ({cut(str(error))})") from error


def _parquet(file: DataFile, labelled: bool) -> Iterator[Any]:
    """Yield the batches of a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(file.content))
    known = _columns_to_read(table.schema_arrow.names, file.name, labelled)
    yield from table.iter_batches(batch_size=BATCH, columns=known)


def _arrow(file: DataFile, labelled: bool) -> Iterator[Any]:
    """Yield the batches of an Arrow file or stream."""
    import pyarrow
    from pyarrow import ipc

    buffer = pyarrow.py_buffer(file.content)
    is_file = file.content.startswith(b"ARROW1")
    names = (ipc.open_file if is_file else ipc.open_stream)(buffer).schema.names
    known = _columns_to_read(names, file.name, labelled)
    indices = [index for index, name in enumerate(names) if name in known]
    options = ipc.IpcReadOptions(included_fields=indices)
    if is_file:
        reader = ipc.open_file(buffer, options=options)
        batches = map(reader.get_batch, range(reader.num_record_batches))
    else:
        # A stream may lawfully end after any batch; what was cut there would go in silence.
        whole = file.content.endswith(END_OF_STREAM)
        require(whole, f"{file.name}: is not a whole Arrow file (its end is missing)")
        batches = iter(ipc.open_stream(buffer, options=options))
    for batch in batches:
        batch.validate(full=True)  # a damaged one may point outside of its memory
        yield batch


def _columns_to_read(names: list[str], where: str, labelled: bool) -> list[str]:
    """Return the columns that are read: not KorQuAD 2's large raw_html.

    The arguments, and what is raised, are those of `require_columns`.
    """
    nested = [name for name in NESTED if name in names]
    if not nested:
        require_columns(names, where, labelled)
    return [*known_keys(names), *nested]
