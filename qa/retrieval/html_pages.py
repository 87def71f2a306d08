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
EUC_KR = {"euc-kr", "euckr", "ks_c_5601-1987", "ksc5601", "ks_c_5601"}
CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)


def charset_of(content: bytes) -> str | None:
    """Return the encoding that a page names at its beginning; None if it names none.

    As browsers have it, a byte-order mark counts for more, and EUC-KR means its superset CP949.
    """
    found = CHARSET.search(content[:4096])
    if found is None or content.startswith(codecs.BOM_UTF8):
        return None
    name = found[1].decode()
    return "cp949" if name.lower() in EUC_KR else name


def page_text(html: str) -> tuple[str, str]:
    """Return title and text of a page: without tags, one line a block, no blanks beside its ends.

    The title is that of <title>, or else the first heading; "" without both.
    """
    page = _Page()
    page.feed(html)
    page.close()
    text = re.sub(r"[^\S\n]*\n[^\S\n]*", "\n", "".join(page.parts))
    title = page.titles.get("title") or page.titles.get("heading") or ""
    return title.strip(), re.sub(r"\n{3,}", "\n\n", text).strip()


class _Page(HTMLParser):
    """Collects the text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.titles: dict[str, str] = {}  # of <title> and of the first heading
        self.open: dict[str, int] = {}  # silent elements, <pre> and those that are titles

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT or tag in HEADINGS or tag in ("pre", "title"):
            self.open[tag] = self.open.get(tag, 0) + 1
        self._cut(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open.get(tag):
            self.open[tag] -= 1
            kind = "title" if tag == "title" else "heading" if tag in HEADINGS else ""
            if kind and self.titles.get(kind):
                self.titles[kind] += "\n"  # closed: nothing is added any more
        self._cut(tag)

    def handle_data(self, data: str) -> None:
        if any(self.open.get(tag) for tag in SILENT):
            return
        if self.open.get("title"):
            self._add_to("title", data)
            return
        if any(self.open.get(tag) for tag in HEADINGS):
            self._add_to("heading", data)
        text = data if self.open.get("pre") else re.sub(r"\s+", " ", data)
        if text.startswith(" ") and self.parts and self.parts[-1][-1:].isspace():
            text = text[1:]
        if text:
            self.parts.append(text)

    def _add_to(self, kind: str, data: str) -> None:
        """Add to a title that is still open."""
        so_far = self.titles.get(kind, "")
        if not so_far.endswith("\n"):
            self.titles[kind] = re.sub(r"\s+", " ", so_far + data).lstrip()

    def _cut(self, tag: str) -> None:
        """End a line at a block, a paragraph with a blank line; a cell with a blank."""
        if tag in BLOCKS:
            self.parts.append("\n\n" if tag in PARAGRAPHS else "\n")
        elif tag in CELLS and self.parts and not self.parts[-1].endswith(" "):
            self.parts.append(" ")
