"""Reading a file in tests: what was read, and the notices about it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from qa.data.examples import Example
from qa.data.formats import read_examples, read_unchecked
from qa.engine.errors import Notice

CONTEXT = "강나루는 1921년에 태어났다."
ANSWERED = Example("1", "언제 태어났나?", CONTEXT, ("1921년",), (5,))
UNANSWERED = Example("1", "언제 태어났나?", CONTEXT)
QUESTION: dict[str, Any] = {"id": "1", "context": CONTEXT, "question": "언제 태어났나?"}
"""A flat row without answers."""


def write(path: Path, content: Any) -> str:
    """Write a file: bytes and text as they are, other things as JSON, lists to .jsonl as lines."""
    if path.suffix == ".jsonl" and isinstance(content, list):
        content = "\n".join(json.dumps(line, ensure_ascii=False) for line in content)
    elif not isinstance(content, (str, bytes)):
        content = json.dumps(content, ensure_ascii=False)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def read(path: str, checked: bool = True, **options: Any) -> tuple[list[Example], list[str]]:
    """Return the examples of a file and the notices, which begin without the name of the file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        examples = (read_examples if checked else read_unchecked)(path, **options)
    assert all(warning.category is Notice for warning in caught)
    notices = [str(warning.message) for warning in caught]
    assert all(line.startswith(f"{path}: ") for line in notices)
    return examples, [line.removeprefix(f"{path}: ") for line in notices]
