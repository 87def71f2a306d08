"""The text of an HTML fragment, as BeautifulSoup(text, "html.parser").get_text() gives it.

BeautifulSoup stands on the standard library's parser; what it adds to that, as far as text is
concerned, are the rules below.
"""

from __future__ import annotations

from collections import Counter
from html.entities import html5
from html.parser import HTMLParser

# Their content is no text of the page. rt and rp are the readings printed above East Asian text.
_HIDDEN = ("script", "style", "template", "rt", "rp")
_VOID = frozenset(
    "area base basefont bgsound br col command embed frame hr image img input isindex keygen link"
    " menuitem meta nextid param source spacer track wbr".split()
)


def html_text(text: str) -> str:
    """The text outside tags, comments and scripts, with character references resolved.

    White space is kept as it stands, where BeautifulSoup shortens what stands alone between tags.
    A text that the parser gives up on (`<![x`) is returned unchanged; the official script stops.
    """
    if "<" not in text and "&" not in text:
        return text
    parser = _TextParser()
    try:
        parser.feed(text)
        parser.close()
    except AssertionError:
        return text
    return "".join(parser.pieces)


class _TextParser(HTMLParser):
    """Collects text; knows of the tree only which elements are open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.pieces: list[str] = []
        self._open: list[str] = []  # elements around the current place, the innermost last
        self._times_open: Counter[str] = Counter()  # a long _open need not be searched

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in _VOID:
            self._open.append(tag)
            self._times_open[tag] += 1

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass  # <b/> opens and closes at once

    def handle_endtag(self, tag: str) -> None:
        # Closes all that was opened since its start tag; without one it does nothing.
        while self._times_open[tag]:
            closed = self._open.pop()
            self._times_open[closed] -= 1
            if closed == tag:
                break

    def handle_data(self, data: str) -> None:
        if not any(self._times_open[tag] for tag in _HIDDEN):
            self.pieces.append(data)

    def handle_charref(self, name: str) -> None:
        self.handle_data(_character(name))

    def handle_entityref(self, name: str) -> None:
        # The parser has taken the semicolon; BeautifulSoup does not put it back.
        self.handle_data(html5.get(f"{name};", f"&{name}"))

    def unknown_decl(self, data: str) -> None:
        if data.upper().startswith("CDATA["):
            self.pieces.append(data[len("CDATA[") :])  # shown even where text is hidden


def _character(name: str) -> str:
    """The character that `&#name;` means; U+FFFD if there is none."""
    digits, base = (name[1:], 16) if name[0] in "xX" else (name, 10)
    digits = digits.lstrip("0")
    number = int(digits or "0", base) if len(digits) < 10 else 0
    if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        return "\ufffd"
    if 0x80 <= number <= 0x9F:  # meant as Windows-1252, as browsers take them
        try:
            return bytes([number]).decode("cp1252")
        except UnicodeDecodeError:
            pass
    return chr(number)
