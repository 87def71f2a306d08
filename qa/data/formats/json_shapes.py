"""What the top of a JSON file may be: each shape becomes a list of entries.

`{"data": [...]}` as SQuAD has it; a list; one article, context or question alone; parts as
`{"train": ..., "validation": ...}`; columns as pandas and `datasets` write them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qa.data.formats.annotations import is_task
from qa.data.formats.findings import Findings
from qa.data.formats.names import by_field, plain
from qa.engine.errors import UserError, first_few, require, shown

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval", "evaluation", "test"),
}
"""What a part is read for -> its names; the first one that is there is read."""


def entries_of(
    content: Any, place: str, split: str, findings: Findings
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where an entry stands, for messages, and the entry, of any shape of a JSON value.

    Raises UserError for other shapes. `place` names the file; `split` is one of `SPLITS`.
    """
    if isinstance(content, dict):
        content, part = _part(content, place, split, findings)
        place = f"{place}: {shown(part)}" if part else place
    if isinstance(content, dict):
        content = _listed(content, place)
    if isinstance(content, dict):
        yield place, content
        return
    require(isinstance(content, list), _other_shape(place, content))
    for number, entry in enumerate(content):
        where = f"{place}: entry {number}"
        require(isinstance(entry, dict), f"{where} is not an object")
        yield where, entry


def _part(content: dict[str, Any], place: str, split: str, findings: Findings) -> tuple[Any, str]:
    """Return the part that is read of an object of parts, with its name; else the object, ""."""
    names = {plain(key): key for key, value in content.items() if isinstance(value, (list, dict))}
    known = [name for names_of_split in SPLITS.values() for name in names_of_split if name in names]
    if not known or "data" in content:
        return content, ""
    wanted = SPLITS["train" if split == "train" else "validation"]
    found = [name for name in (plain(split), *wanted) if name in names]
    if not found and len(known) == 1:
        found = known
    require(
        found,
        f"{place}: has the parts {first_few([names[name] for name in known])}, and none of"
        f" {', '.join(wanted)}; write the part that is meant to a file of its own",
    )
    read = names[found[0]]
    others = [names[name] for name in known if names[name] != read]
    if others:
        findings.say(f"{place}: {shown(read)} is read, {first_few(others)} is not")
    return content[read], read


def _listed(content: dict[str, Any], place: str) -> list[Any] | dict[str, Any]:
    """Return the entries that an object holds, or itself if it is one entry."""
    data = content.get("data")
    if isinstance(data, list):
        columns = content.get("columns")
        return data if not isinstance(columns, list) else _split_rows(columns, data, place)
    if isinstance(data, dict):
        if is_task(content):
            return content
        content = data
    if "paragraphs" in content or "qas" in content:
        return content
    fields = by_field(content)
    question, context = fields.get("question"), fields.get("context")
    if isinstance(question, str):
        return content
    if isinstance(question, list) and isinstance(context, list):
        return _rows_of_lists(content, len(question), place)
    if isinstance(question, dict) and isinstance(context, dict):
        columns = {name: column for name, column in content.items() if isinstance(column, dict)}
        return [{name: column.get(k) for name, column in columns.items()} for k in question]
    values = list(content.values())  # pandas, orient="index"
    if values and all(
        isinstance(value, dict) and "question" in by_field(value) for value in values
    ):
        return values
    raise UserError(_other_shape(place, content))


def _rows_of_lists(content: dict[str, Any], number: int, place: str) -> list[Any]:
    """Return the rows of an object of lists of `number` values; other values are every row's."""
    columns = {}
    for name, column in content.items():
        columns[name] = column if isinstance(column, list) else [column] * number
        found = len(columns[name])
        require(
            found == number,
            f"{place}: {shown(name)} has {found} values, but there are {number} questions",
        )
    return [{name: column[i] for name, column in columns.items()} for i in range(number)]


def _split_rows(columns: list[Any], data: list[Any], place: str) -> list[Any]:
    """Return the rows of `{"columns": [...], "data": [[...], ...]}`, which pandas writes."""
    require(
        all(isinstance(name, str) for name in columns)
        and all(isinstance(row, list) and len(row) == len(columns) for row in data),
        f"{place}: columns and the rows of data do not fit each other",
    )
    return [dict(zip(columns, row, strict=True)) for row in data]


def _other_shape(place: str, content: Any) -> str:
    """Return the message about JSON that is nothing that could be read."""
    keys = f" (it has {first_few(list(content))})" if isinstance(content, dict) and content else ""
    return (
        f'{place}: is JSON of another shape{keys}; expected {{"data": [...]}} as SQuAD has it, or a'
        " list of objects with id, context, question and answers"
    )
