"""What is wrong with a text that is not JSON, in words that lead to the mistake."""

from __future__ import annotations

from json import JSONDecodeError


def reason_of(error: Exception, text: str) -> str:
    """Return why `json.loads(text)` failed with this error, on one line."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not isinstance(error, JSONDecodeError):
        return " ".join(str(error).split())
    before, after = text[: error.pos].rstrip()[-1:], text[error.pos :].lstrip()[:1]
    place = f"line {error.lineno} column {error.colno}"
    if not text.strip():
        return "it is empty"
    if "trailing comma" in error.msg or (before == "," and after in ("]", "}")):
        return f"a comma stands before the end of a list or object: {place}"
    if after in ("/", "#"):
        return f"JSON has no comments: {place}"
    if error.pos == len(text) - len(text.lstrip()):
        return f"it begins with {text.strip()[:20]!r}"
    if after == "'":
        return f'names and texts must stand in double quotes ("): {place}'
    if not after or "Unterminated string" in error.msg:
        return f"it ends too early, as a file that was cut off does: {error.msg}, {place}"
    if error.msg == "Extra data" and after == ",":
        return f"a comma follows the value; between lines of JSON there is none: {place}"
    if error.msg == "Extra data":
        return f"another value follows the first; put them in a list, or one on a line: {place}"
    return f"{error.msg}: {place}"
