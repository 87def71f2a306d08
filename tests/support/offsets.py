"""Offsets as programs count them that do not count characters as Python does."""

from __future__ import annotations


def measured(context: str, start: int, unit: str) -> int:
    """The offset of character `start` for a program that counts in `unit`."""
    before = context[:start]
    return {
        "UTF-8 bytes": len(before.encode()),
        "UTF-16 units": sum(2 if ord(c) > 0xFFFF else 1 for c in before),
        r"each \r\n as one character": len(before.replace("\r\n", "\n")),
        r"each \n as two characters": len(before.replace("\n", "\r\n")),
    }[unit]
