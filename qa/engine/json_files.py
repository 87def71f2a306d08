"""Reading and writing JSON files, with error messages for people."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from qa.engine.atomic_files import replace_file
from qa.engine.errors import UserError, require


def read_json(path: str | Path, expected: str) -> dict[str, Any]:
    """Return the object in a JSON file (UTF-8); `expected` describes it, e.g. "{id: text}".

    Raises:
        UserError: The file cannot be read or holds no JSON object; the message names the file.
    """
    require(not os.path.isdir(path), f"{path}: is a directory, not a JSON file of {expected}")
    try:
        content = json.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start}); convert it") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected {expected}, a JSON object, but it is {kind_of(content)}")
    return content


def kind_of(value: Any) -> str:
    """Return in words what kind of JSON value this is."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    if value is None:
        return "null"
    return kinds.get(type(value), f"the number {value}")


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as readable JSON: indented, and in UTF-8 without escapes."""
    text = json.dumps(finite(value), ensure_ascii=False, indent=2) + "\n"
    with replace_file(path) as file:
        file.write(text)


def finite(value: Any) -> Any:
    """Return the value with None for every nan and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
