"""Where an answer without a place of its own stands."""

from __future__ import annotations

from unicodedata import combining, normalize

SEVERAL = "several times"
NOWHERE = "nowhere"


def only_place(context: str, text: str) -> int | str:
    """Return where a text stands in its context; `SEVERAL` or `NOWHERE` unless that is once."""
    start = context.find(text)
    if start < 0:
        return NOWHERE
    if context.find(text, start + 1) >= 0:
        return SEVERAL
    after = context[start + len(text) : start + len(text) + 1]
    # A jamo or a mark: the text would end inside a composed character.
    cut = after and ("\u1160" <= after <= "\u11ff" or combining(after))
    return NOWHERE if cut else start


def place_of(context: str, text: str) -> tuple[str, int | str]:
    """Return a text in the form that the context has, and its `only_place`.

    One of them may be composed Hangul, the other decomposed, as names of files from macOS are.
    """
    places = {
        form: only_place(context, form)
        for form in (text, normalize("NFC", text), normalize("NFD", text))
    }
    return next(((form, p) for form, p in places.items() if p != NOWHERE), (text, NOWHERE))
