"""Lists and objects written into a text cell: as JSON, or as Python and numpy print them."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

LONGEST = 100_000  # characters; nobody writes longer answers into a cell
_NAMES = {"None": None, "nan": None, "null": None, "True": True, "False": False}
# A text in quotes or a number, and blanks before the next one: numpy prints ['a' 'b'] and [6 22].
_ITEM = re.compile(
    r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[0-9.]+)(\s+(?=['"0-9-]))?""", re.DOTALL
)


def read_literal(text: str) -> list[Any] | dict[str, Any] | None:
    """Return the list or object that a text is, None if it is anything else.

    Nothing is run: only literals, `array(...)`, numpy's numbers and `nan` are known.
    """
    text = text.strip()
    if not text.startswith(("{", "[", "array(")) or len(text) > LONGEST:
        return None
    for read in (json.loads, _read_python):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two: too deep
            continue
        return value if isinstance(value, (list, dict)) else None
    return None


def _read_python(text: str) -> Any:
    """Return what a Python literal means; ValueError or SyntaxError for anything else."""
    with_commas = _ITEM.sub(lambda found: found[1] + (", " if found[2] else ""), text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about \d and the like in a text
        return _value(ast.parse(with_commas, mode="eval").body)


def _value(node: ast.expr) -> Any:
    """Return the value of a node of a literal; ValueError for other nodes."""
    match node:
        case ast.Constant(value=None | str() | int() | float() as value):
            return value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            names = [key.value if isinstance(key, ast.Constant) else None for key in keys]
            if not all(isinstance(name, str) for name in names):
                raise ValueError("names must be texts")
            return dict(zip(names, map(_value, values), strict=True))
        # array([6], dtype=int32), np.int64(6), np.str_('a')
        case ast.Call(
            func=ast.Name(id="array") | ast.Attribute(value=ast.Name(id="np" | "numpy")),
            args=[inner],
        ):
            return _value(inner)
    raise ValueError("is no literal")
