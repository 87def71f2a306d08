"""What the top of a JSON file may be: each shape becomes a list of entries.

`{"data": [...]}` as SQuAD has it, or any other name of the only list; a list; one article, context
or question alone; parts as `{"train": ..., "validation": ...}`; columns as pandas and `datasets`
write them; questions by their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from qa.data.formats.annotations import is_task
from qa.data.formats.names import by_field, known_keys
from qa.data.formats.splits import NO_SPLITS, choose, is_bare_split, split_of
from qa.engine.errors import UserError, first_few, require, shown


def entries_of(
    content: Any,
    place: str,
    split: str,
    is_named: bool = False,
    pass_over: Callable[[str], None] | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where an entry stands, for messages, and the entry, of any shape of a JSON value.

    Args:
        content: The value.
        place: Names the file, for messages.
        split: Of parts, which are read; `splits.choose` says how.
        is_named: Whether somebody named this split.
        pass_over: Is told of entries that are no objects. None: they are UserErrors.

    Raises:
        UserError: The value has another shape.
    """
    for where, part in _parts(content, place, split, is_named):
        listed = _listed(part, where) if isinstance(part, dict) else part
        if isinstance(listed, dict):
            yield where, listed
            continue
        require(isinstance(listed, list), _other_shape(where, listed))
        for number, entry in enumerate(listed):
            inner = f"{where}: entry {number}"
            if isinstance(entry, dict):
                yield inner, entry
            elif pass_over is None:
                raise UserError(f"{inner} is not an object")
            else:
                pass_over(f"{inner} is not an object")


def _parts(content: Any, place: str, split: str, is_named: bool) -> list[tuple[str, Any]]:
    """Return the parts of a value that are read, with their places; the value if it has none."""
    names: list[str] = []
    if isinstance(content, dict) and not _is_entry(content) and not _has_ids(content):
        are_splits = all(map(is_bare_split, content))  # of which each may be one question
        names = [name for name, value in content.items() if _may_hold_entries(value, are_splits)]
    if not any(map(split_of, names)):
        require(not is_named, f"{place}: {NO_SPLITS}")
        return [(place, content)]
    read = choose(names, place, split, is_named, "parts")
    return [(f"{place}: {shown(name)}", content[name]) for name in read]


def _is_entry(content: dict[str, Any]) -> bool:
    """Return whether an object is an article, a context with questions, or a question."""
    return "paragraphs" in content or "qas" in content or "question" in by_field(content)


def _has_ids(content: dict[str, Any]) -> bool:
    """Return whether an object holds questions by their ids, which may look like names of splits.

    A part of columns has questions, too, but not one; nor are `train` and `dev` alone ids.
    """
    asked = [by_field(v).get("question") if isinstance(v, dict) else None for v in content.values()]
    has_ids = not all(map(is_bare_split, content))
    return has_ids and all(isinstance(question, str) for question in asked)


def _may_hold_entries(value: Any, is_split: bool) -> bool:
    """Return whether a value is a list, or an object with more than numbers and texts in it.

    `is_split`: it may be one entry, too.
    """
    if isinstance(value, dict):
        is_one = is_split and _is_entry(value)
        return is_one or any(isinstance(inner, (list, dict)) for inner in value.values())
    return isinstance(value, list)


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
    if isinstance(question, list) and isinstance(context, list):
        return _rows_of_lists(content, len(question), place)
    if isinstance(question, dict) and isinstance(context, dict):
        columns = {name: column for name, column in content.items() if isinstance(column, dict)}
        return [{name: column.get(k) for name, column in columns.items()} for k in question]
    if "question" in fields or "context" in fields:
        return content
    if content and all(isinstance(v, dict) and "question" in by_field(v) for v in content.values()):
        return [  # pandas, orient="index"; or ids as names
            row if "id" in by_field(row) else {**row, "id": name} for name, row in content.items()
        ]
    lists = [v for v in content.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(lists) == 1:  # {"examples": [...]}, whatever the name
        return lists[0]
    raise UserError(_other_shape(place, content))


def _rows_of_lists(content: dict[str, Any], number: int, place: str) -> list[Any]:
    """Return the rows of an object of lists of `number` values; one text or number is every row's.

    A column may be an object of such lists, e.g. of the texts and the starts of the answers.
    """
    columns: dict[str, list[Any]] = {}
    for name, column in content.items():
        if isinstance(column, dict) and known_keys([name]):
            columns[name] = _rows_of_lists(column, number, f"{place}: {shown(name)}")
        else:
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
