"""The text of HTML pages, and their titles."""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser

SILENT = {"script", "style", "noscript", "template", "svg", "iframe", "object", "select"}
BLOCKS = set(
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset"
    " figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section"
    " summary table tbody tfoot thead tr ul".split()
)
PARAGRAPHS = BLOCKS - {"br", "li", "dt", "dd", "tr", "tbody", "thead", "tfoot"}
CELLS = {"td", "th"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
SUPERSETS = {"euc_kr": "cp949", "iso8859-1": "cp1252", "ascii": "cp1252"}
# Python's names of what browsers know, without UTF-16, in which no name could be read.
KNOWN = re.compile(
    r"utf-8|iso8859-\d+|cp(125\d|866|874|932|949|950)|tis-620|koi8-[ru]|mac-roman"
    r"|gb2312|gbk|gb18030|big5(hkscs)?|euc_(jp|kr)|shift_jis|iso2022_jp|ascii"
)
CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)


def charset_of(content: bytes) -> str | None:
    """Return the encoding that a page names at its beginning; None if browsers know no such.

    As browsers have it, a byte-order mark counts for more, EUC-KR and Latin 1 mean their supersets
    of Windows, and a page that says in ASCII that it is UTF-16 is not.
    """
    found = CHARSET.search(content[:4096])
    if found is None or content.startswith(codecs.BOM_UTF8):
        return None
    try:
        name = codecs.lookup(found[1].decode()).name
    except LookupError:
        return None
    return SUPERSETS.get(name, name) if KNOWN.fullmatch(name) else None


def page_text(html: str) -> tuple[str, str]:
    """Return title and text of a page: without tags, one line a block, no blanks beside its ends.

    The title is that of <title>, or else the first heading; "" without both.
    """
    page = _Page()
    page.feed(html)
    page.close()
    text = re.sub(r"[^\S\n]*\n[^\S\n]*", "\n", "".join(page.parts))
    titles = [" ".join("".join(page.titles[kind]).split()) for kind in ("title", "heading")]
    return titles[0] or titles[1], re.sub(r"\n{3,}", "\n\n", text).strip()


class _Page(HTMLParser):
    """Collects the text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.titles: dict[str, list[str]] = {"title": [], "heading": []}
        self.ended: set[str] = set()  # titles to which nothing is added any more
        # Silent elements, <pre>, <title>, and headings: of all levels, since the end of any level
        # ends the one that is open.
        self.open: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in PARAGRAPHS:  # so that a heading that is not closed is no title of a whole page
            self._end("heading")
        name = "heading" if tag in HEADINGS else tag
        if name in SILENT or name in self.titles or name == "pre":
            self.open[name] = 1 if name == "heading" else self.open.get(name, 0) + 1
        self._cut(tag)

    def handle_endtag(self, tag: str) -> None:
        name = "heading" if tag in HEADINGS else tag
        if self.open.get(name):
            self.open[name] -= 1
            if name in self.titles:
                self._end(name)
        self._cut(tag)

    def handle_data(self, data: str) -> None:
        if any(self.open.get(tag) for tag in SILENT):
            return
        for kind, parts in self.titles.items():
            if self.open.get(kind) and kind not in self.ended:
                parts.append(data)
        if self.open.get("title"):
            return
        text = data if self.open.get("pre") else re.sub(r"\s+", " ", data)
        if text.startswith(" ") and self.parts and self.parts[-1][-1:].isspace():
            text = text[1:]
        if text:
            self.parts.append(text)

    def _end(self, kind: str) -> None:
        """End a title, unless it has no letter yet."""
        if "".join(self.titles[kind]).strip():
            self.ended.add(kind)

    def _cut(self, tag: str) -> None:
        """End a line at a block, a paragraph with a blank line; a cell with a blank."""
        if tag in BLOCKS:
            self.parts.append("\n\n" if tag in PARAGRAPHS else "\n")
        elif tag in CELLS and self.parts and not self.parts[-1].endswith(" "):
            self.parts.append(" ")
