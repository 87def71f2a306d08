"""Hub data sets as rows."""

from __future__ import annotations

from collections.abc import Iterator

from qa.data.readers.json_rows import Row, flatten
from qa.engine.errors import UserError, require
from qa.hub import HUB_PREFIX


def hub_rows(source: str, split: str) -> Iterator[Row]:
    """Rows of `hub:NAME` or `hub:NAME:SPLIT`; split: the one meant if none is named."""
    name, _, named_split = source.removeprefix(HUB_PREFIX).partition(":")
    split = named_split or split
    require(name, f"{source!r}: expected hub:NAME or hub:NAME:SPLIT")
    import datasets  # late: takes a second to import

    try:
        dataset = datasets.load_dataset(name, split=split)
    except ValueError as error:  # datasets' answer to an unknown split or configuration
        raise UserError(f"{source}: {str(error).splitlines()[0]}") from error
    except (OSError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"{source}: the data set cannot be loaded from the hub"
            f" ({type(error).__name__}); check the name and the network, or download it and pass"
            " the path of a SQuAD-style JSON file"
        ) from error
    for number, row in enumerate(dataset):
        yield from flatten(row, f"{source}: row {number}")
