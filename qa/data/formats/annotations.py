"""Tasks of Label Studio as plain rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qa.data.formats.names import by_field, known_keys
from qa.engine.errors import UserError

ANNOTATIONS = ("annotations", "completions")  # completions: before Label Studio 1.0


def is_task(row: dict[str, Any]) -> bool:
    """Return whether a row is a task: its fields in `data`, its answers in `annotations`."""
    return isinstance(row.get("data"), dict) and any(
        isinstance(row.get(k), list) for k in ANNOTATIONS
    )


def from_task(task: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a task as a row: its data, its id, and the marked spans of all annotators.

    Spans that several annotators marked alike count once; what they cancelled does not count.
    The answers are None if nobody annotated the task.
    """
    row = dict(task["data"])
    for name in known_keys(list(row), "answers"):  # what was there before the annotators
        del row[name]
    if "id" not in by_field(row) and "id" in task:
        row["id"] = task["id"]
    results = [result for key in ANNOTATIONS for result in _results(task.get(key) or [], where)]
    values = [result.get("value") for result in results]
    # Choices, ratings and written texts have a value, too, but no place in the text.
    spans: dict[Any, Any] = {}
    for value in values:
        if isinstance(value, dict) and "start" in value:
            spans.setdefault(_place(value), value)
    done = any(not _is_cancelled(a) for key in ANNOTATIONS for a in task.get(key) or [])
    return {**row, "answers": list(spans.values()) if done else None}


def _results(annotations: Any, where: str) -> Iterator[dict[str, Any]]:
    """Yield all results of the annotations that were not cancelled."""
    message = f"{where}: annotations must be objects with a list of results"
    if not isinstance(annotations, list):
        raise UserError(message)
    for annotation in annotations:
        results = annotation.get("result") if isinstance(annotation, dict) else None
        if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
            raise UserError(message)
        if not _is_cancelled(annotation):
            yield from results


def _place(span: dict[str, Any]) -> Any:
    """Return what is the same for spans at one place; a span without numbers is alone."""
    place = span.get("start"), span.get("end")
    return place if all(isinstance(end, int) for end in place) else id(span)


def _is_cancelled(annotation: dict[str, Any]) -> bool:
    """Return whether the annotator skipped the task."""
    return bool(annotation.get("was_cancelled") or annotation.get("skipped"))
