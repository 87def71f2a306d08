"""Hub data sets as rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qa.data.formats.json_rows import Row, flatten
from qa.engine.errors import UserError, require

HUB_PREFIX = "hub:"


def names_hub_data(sources: str) -> bool:
    """Return whether one of the comma-separated sources, as `a.json,hub:NAME`, is on the hub."""
    return any(source.strip().startswith(HUB_PREFIX) for source in sources.split(","))


def parse_source(source: str, split: str) -> tuple[str, str | None, str]:
    """Return name, configuration and split of `hub:NAME[:[CONFIG:]SPLIT]`.

    A source that names no split, or an empty one (`hub:NAME:CONFIG:`), has the argument `split`.
    """
    # Not at a colon in brackets: a split may be a slice, as train[:100].
    parts = re.split(r":(?![^\[]*\])", source.removeprefix(HUB_PREFIX))
    require(
        parts[0] and len(parts) <= 3,
        f"{source!r}: expected hub:NAME, hub:NAME:SPLIT or hub:NAME:CONFIG:SPLIT",
    )
    config = parts[1] if len(parts) == 3 else ""
    named_split = parts[-1] if len(parts) > 1 else ""
    return parts[0], config or None, named_split or split


def hub_rows(source: str, split: str) -> Iterator[Row]:
    """Yield the rows of `hub:NAME[:[CONFIG:]SPLIT]`; `split` is read if the source names none."""
    name, config, split = parse_source(source, split)
    import datasets  # late: takes a second to import

    try:
        dataset = datasets.load_dataset(name, config, split=split)
    except ValueError as error:  # of datasets: unknown split or configuration
        reason = " ".join(str(error).splitlines()[:2])
        hint = "; name one: hub:NAME:CONFIG:SPLIT" if "Config name is missing" in reason else ""
        raise UserError(f"{source}: {reason}{hint}") from error
    except (OSError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"{source}: the data set cannot be loaded from the hub"
            f" ({type(error).__name__}); check the name and the network, or download it and pass"
            " the path of a SQuAD-style JSON file"
        ) from error
    for number, row in enumerate(dataset):
        yield from flatten(row, f"{source}: row {number}")
