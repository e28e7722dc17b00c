"""Makes the HTML of a mail readable as text. Time and memory grow with the length of the HTML alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lxml import etree  # type: ignore[import-untyped]

PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre", "hr"}
LINES = {"div", "tr", "li", "section", "article", "header", "footer", "center", "address", "dt", "dd", "form", "body"}
UNSEEN = {"head", "style", "script", "title", "template", "noscript", "object", "select", "textarea", "svg"}
HIDDEN = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.I)
# Outlook, Hotmail and Yahoo mark only where the quote begins.
QUOTE_BEGINS = {"divrplyfwdmsg", "stopspelling", "olk_src_body_section", "yahoo_quoted", "zmail_extra"}
DIVIDER = "_" * 32
MAX_QUOTE_DEPTH = 10
TAG = re.compile(r"<[^<>]{0,10000}>")


def html_text(html: str) -> str:
    """What a reader of the HTML sees, one line per block; quotes begin with `> `, as in a mail of plain text."""
    reader = _Reader()
    parser = etree.HTMLParser(target=reader, remove_comments=True, remove_pis=True, no_network=True)
    try:
        parser.feed(html)
        parser.close()
    except etree.LxmlError:  # nested too deep: the part before it counts
        pass
    except AssertionError:  # nothing was fed
        return ""
    return reader.text() or (" ".join(TAG.sub(" ", html).split()) if not reader.seen else "")


class _Reader:
    """Takes the parser's events in their order; each element that starts also ends."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._open: list[tuple[str, bool, bool]] = []
        """(tag, is it unseen, is it a quote) of the elements around."""
        self._unseen = self._quotes = self._verbatim = 0
        self.seen = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.seen = True
        is_unseen = tag in UNSEEN or bool(HIDDEN.search(attributes.get("style", "")[:1_000]))
        if not self._unseen:
            self._break(tag)
            if tag == "li":
                self._line.append("- ")
            elif tag in ("td", "th"):
                self._line.append(" ")
            if attributes.keys() & {"id", "class"} and _begins_quote(attributes):
                self._lines += ["", DIVIDER, ""]
        self._unseen += is_unseen
        self._quotes += tag == "blockquote"
        self._verbatim += tag == "pre"
        self._open.append((tag, is_unseen, tag == "blockquote"))

    def end(self, tag: str) -> None:
        if not self._unseen:
            self._break(tag)
        _, is_unseen, is_quote = self._open.pop() if self._open else ("", False, False)
        self._unseen -= is_unseen
        self._quotes -= is_quote
        self._verbatim -= tag == "pre"

    def data(self, text: str) -> None:
        if self._unseen:
            return
        if not self._verbatim:
            self._line.append(re.sub(r"\s+", " ", text))
            return
        for line in text.splitlines():
            self._line.append(line)
            self._end_line()

    def close(self) -> None:
        self._end_line()

    def text(self) -> str:
        """The lines, with at most one empty line in a row."""
        self._end_line()
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self._lines)).strip()

    def _break(self, tag: str) -> None:
        if tag != "li" and "".join(self._line).strip() == "-":
            return  # a paragraph in an item begins behind its dash
        if tag in PARAGRAPHS:
            self._end_line()
            self._lines.append(self._mark().rstrip())
        elif tag in LINES:
            self._end_line()
        elif tag == "br":
            self._end_line(even_empty=tag == "br")

    def _end_line(self, *, even_empty: bool = False) -> None:
        line = "".join(self._line)
        line = line.rstrip() if self._verbatim else " ".join(line.split())
        self._line.clear()
        if line or even_empty:
            self._lines.append(f"{self._mark()}{line}".rstrip())

    def _mark(self) -> str:
        return "> " * min(self._quotes, MAX_QUOTE_DEPTH)


def _begins_quote(attributes: Mapping[str, str]) -> bool:
    names = f"{attributes.get('id', '')} {attributes.get('class', '')}"[:1_000].lower().split()
    return any(name.removeprefix("x_") in QUOTE_BEGINS for name in names)
