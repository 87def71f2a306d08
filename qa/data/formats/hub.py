"""Hub data sets as rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from qa.data.formats.json_rows import Row, flatten
from qa.engine.errors import UserError, require, short_reason

HUB_PREFIX = "hub:"
AS_FILES = "or download it and pass the path of its files"


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
    except MemoryError:
        raise
    # Whatever it is, it comes from the data set, the network or `datasets`, whose builders raise
    # errors of many libraries; the cause stays in the traceback that a library caller sees.
    except Exception as error:
        raise UserError(f"{source}: {_explanation(error, name)}") from error
    for number, row in enumerate(dataset):
        yield from flatten(row, f"{source}: row {number}")


def _explanation(error: Exception, name: str) -> str:
    """Say on one line why `load_dataset` failed, and what helps."""
    import datasets

    text = str(error)
    reason = " ".join(text.splitlines()[:2])
    if isinstance(error, RuntimeError) and "scripts are no longer supported" in text:
        if os.path.isdir(name):
            return (
                "is a data set with a loading script, which `datasets` no longer runs; pass the"
                " files that the script reads, or save the data as JSON, CSV or Parquet"
            )
        return (
            "is a data set with a loading script, which `datasets` no longer runs; the hub keeps"
            f" most of them as Parquet: hf download {name} --repo-type dataset --revision"
            " refs/convert/parquet --local-dir DIR, then pass DIR, or DIR/CONFIG"
        )
    if "gated" in text:
        return (
            f"{short_reason(text)}; ask for access on its page at the hub, then log in"
            f" (hf auth login), {AS_FILES}"
        )
    if "Config name is missing" in text:
        return f"{reason}; name one: hub:NAME:CONFIG:SPLIT"
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return reason  # of datasets: unknown split or configuration
    if isinstance(error, ImportError):
        return f"{short_reason(text)}; install what it needs, {AS_FILES}"
    if isinstance(error, datasets.exceptions.DatasetGenerationError):
        cause = error.__cause__ or error
        return f"its files cannot be read ({short_reason(str(cause)) or type(cause).__name__})"
    what = ": ".join(filter(None, (type(error).__name__, short_reason(text))))
    return (
        f"the data set cannot be loaded from the hub ({what}); check the name and the network,"
        f" {AS_FILES}"
    )
