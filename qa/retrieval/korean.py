"""The tokens of a Korean text: its morphemes, from the analyser Kiwi (extra `qa[korean]`)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from qa.engine.errors import UserError
from qa.retrieval.bigrams import letters

if TYPE_CHECKING:
    from kiwipiepy import Kiwi


def version() -> str:
    """Return what decides about the tokens: the analyser's version."""
    return f"morphemes 1 by kiwipiepy {_package().__version__}"


def morphemes(text: str) -> list[str]:
    """Return all morphemes of a text, particles and endings too; their letters and digits only."""
    forms = [letters(token.form) for token in _analyser().tokenize(normalize("NFC", text))]
    return [form for form in forms if form]


def _package() -> Any:
    """Return the package; UserError if it is not installed."""
    try:
        import kiwipiepy
    except ImportError as error:
        raise UserError(
            f"an index made with --korean needs kiwipiepy ({error}): pip install 'qa[korean]'"
        ) from error
    return kiwipiepy


@cache  # it takes seconds to load, and half a gigabyte
def _analyser() -> Kiwi:
    """Return the analyser."""
    return _package().Kiwi(num_workers=1)
