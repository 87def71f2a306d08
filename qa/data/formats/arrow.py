"""Arrow files, such as those of `save_to_disk`, as rows; both forms of them, file and stream."""

from __future__ import annotations

from collections.abc import Iterator

from qa.data.formats.files import DataFile
from qa.data.formats.json_rows import Row, flatten
from qa.data.formats.tables import BATCH, columns_to_read
from qa.engine.errors import UserError, require

END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def arrow_rows(file: DataFile, labelled: bool) -> Iterator[Row]:
    """Yield the rows of an Arrow file; `labelled` rows must have answers."""
    import pyarrow
    from pyarrow import ipc

    number = 0
    try:
        buffer = pyarrow.py_buffer(file.content)
        is_file = file.content.startswith(b"ARROW1")
        names = (ipc.open_file if is_file else ipc.open_stream)(buffer).schema.names
        known = columns_to_read(names, file.name, labelled)
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
            for start in range(0, batch.num_rows, BATCH):
                for row in batch.slice(start, BATCH).to_pylist():
                    yield from flatten(row, f"{file.name}: row {number}")
                    number += 1
    except UserError:
        raise
    except (pyarrow.lib.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{file.name}: is not a whole Arrow file ({reason})") from error
