"""The text of an HTML fragment, as BeautifulSoup(text, "html.parser").get_text() gives it.

BeautifulSoup is built on the standard library's parser; the rules below are what it adds, as far as
text is concerned.
"""

from __future__ import annotations

from collections import Counter
from html.entities import html5
from html.parser import HTMLParser

# Elements whose content is no text of the page. rt and rp hold the readings that are printed above
# East Asian text.
_HIDDEN = ("script", "style", "template", "rt", "rp")
# fmt: off
_VOID = frozenset((
    "area", "base", "basefont", "bgsound", "br", "col", "command", "embed", "frame", "hr", "image",
    "img", "input", "isindex", "keygen", "link", "menuitem", "meta", "nextid", "param", "source",
    "spacer", "track", "wbr",
))  # elements that have no end tag
# fmt: on


def html_text(text: str) -> str:
    """Return the text outside tags, comments and scripts, with character references resolved.

    White space is kept as it is, while BeautifulSoup shortens white space that stands alone between
    tags. A text that the parser gives up on (`<![x`) is returned unchanged; the official script
    fails there.
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
    """Collects text; of the tree it keeps only which elements are open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.pieces: list[str] = []
        self._open: list[str] = []  # elements around the current position, the innermost last
        self._times_open: Counter[str] = Counter()  # how often a tag is in _open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in _VOID:
            self._open.append(tag)
            self._times_open[tag] += 1

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass  # <b/> opens and closes the element at once

    def handle_endtag(self, tag: str) -> None:
        # An end tag closes all that was opened since its start tag; without one it closes nothing.
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
    """Return the character that `&#name;` means; U+FFFD if there is none."""
    digits, base = (name[1:], 16) if name[0] in "xX" else (name, 10)
    digits = digits.lstrip("0")
    number = int(digits or "0", base) if len(digits) < 10 else 0
    if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        return "\ufffd"
    if 0x80 <= number <= 0x9F:  # meant as Windows-1252, as browsers read them
        try:
            return bytes([number]).decode("cp1252")
        except UnicodeDecodeError:
            pass
    return chr(number)
