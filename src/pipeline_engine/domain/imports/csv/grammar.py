"""How cells, quotes and record ends of one dialect look in UTF-8 bytes: the patterns that cutting and reading share."""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from pipeline_engine.domain.imports.csv.mapping import MAX_COLUMNS

if TYPE_CHECKING:
    from pipeline_engine.domain.imports.csv.dialect import Dialect

LINE_END = rb"(?:\r\n?+|\n)"
BACKSLASH = "backslash"


class Patterns:
    """The compiled patterns of a grammar. A *strict* quoted cell is followed by a delimiter or the end of its record.

    A *literal* cell is text up to the next delimiter or line end, whatever quotes are in it.
    """

    def __init__(self, delimiter: bytes, quote: bytes, escape: str) -> None:
        self._delimiter = re.escape(delimiter) if delimiter else b"(?!)"
        self._quote = re.escape(quote) if quote else b"(?!)"
        self._quote_byte = re.escape(quote or b'"')
        self._escapes = escape == BACKSLASH
        self._doubles = escape == "double"
        self._text = _text(delimiter, escapes=self._escapes)
        body, line_body = self._body(rb""), self._body(rb"\r\n")
        unquoted = rb"(?!%s)%s" % (self._quote, self._text)
        in_line = rb"(?:%s%s%s|%s)" % (self._quote, line_body, self._quote, unquoted)
        strict = rb"(?:%s%s%s|%s)" % (self._quote, body, self._quote, unquoted)
        loose = rb"(?:%s%s%s|(?!%s))%s" % (self._quote, body, self._quote, self._quote, self._text)
        after = rb"[%s\r\n]" % self._delimiter if len(delimiter) == 1 else rb"(?:%s|[\r\n])" % self._delimiter
        line_text = _text(delimiter, escapes=self._escapes, line_ends=False)
        line_cell = rb"(?:%s%s%s|(?!%s)%s)" % (self._quote, line_body, self._quote, self._quote, line_text)
        self.cells_in_line = re.compile(rb"(?:%s%s)*+" % (line_cell, after))
        """Strict cells, each on one line, and what follows each."""
        self.field_in_line = re.compile(rb"%s%s" % (in_line, self._delimiter))
        self.fields_in_line = re.compile(rb"(?:%s%s)*+" % (in_line, self._delimiter))
        self.last_in_line = re.compile(in_line + LINE_END)
        self.strict_record = re.compile(rb"(?:%s%s)*+%s%s" % (strict, self._delimiter, strict, LINE_END))
        """A record of strict cells, which may run over several lines."""
        self.fields = re.compile(rb"(?:%s%s)*+" % (loose, self._delimiter))
        self.record = re.compile(rb"(?:%s%s)*+%s%s" % (loose, self._delimiter, loose, LINE_END))
        """A record as `csv.reader` takes it: text behind a closing quote belongs to the cell."""
        self._loose = loose
        self.quoted = re.compile(self._quote + body + self._quote)
        self.text = re.compile(self._text)

    def _body(self, excluded: bytes) -> bytes:
        """What stands between the quotes of a cell, without the bytes `excluded`."""
        plain = rb"[^%s%s%s]*+" % (self._quote_byte, rb"\\" if self._escapes else b"", excluded)
        if self._escapes:
            return rb"%s(?:\\%s%s)*+" % (plain, rb"[^%s]" % excluded if excluded else rb"[\s\S]", plain)
        return rb"%s(?:%s%s%s)*+" % (plain, self._quote, self._quote, plain) if self._doubles else plain

    @cached_property
    def reading_loosely(self) -> re.Pattern[bytes]:
        """One cell of a whole record as `csv.reader` takes it, and the delimiter behind it."""
        return self._reading(rb"%s(?P<head>%s)%s(?P<tail>%s)" % (self._quote, self._body(b""), self._quote, self._text))

    @cached_property
    def reading_literally(self) -> re.Pattern[bytes]:
        """The same, but a quoted cell that is not strict is literal."""
        return self._reading(rb"(?P<head>(?!))(?P<tail>(?!))")

    @cached_property
    def reading_leniently(self) -> re.Pattern[bytes]:
        """The same, but a quoted cell closes at its first quote that a delimiter or the end of the record follows."""
        plain = rb"[^%s%s]*+" % (self._quote_byte, rb"\\" if self._escapes else b"")
        inner = rb"%s(?!%s)" % (self._quote, self._after)
        if self._escapes:
            inner = rb"(?:\\[\s\S]|%s)" % inner
        lenient = rb"%s(?P<head>%s(?:%s%s)*+)%s(?P<tail>)(?=%s)" % (
            self._quote, plain, inner, plain, self._quote, self._after,
        )  # fmt: skip
        return self._reading(lenient)

    @cached_property
    def too_many_cells(self) -> re.Pattern[bytes]:
        """The beginning of a record with more than `MAX_COLUMNS` cells."""
        return re.compile(rb"(?:%s%s){%d}+" % (self._loose, self._delimiter, MAX_COLUMNS))

    @property
    def _after(self) -> bytes:
        return rb"(?:%s|%s?+\Z)" % (self._delimiter, LINE_END)

    def _reading(self, odd: bytes) -> re.Pattern[bytes]:
        strict = rb"%s(?P<quoted>%s)%s(?=%s)" % (self._quote, self._body(b""), self._quote, self._after)
        ends = rb"(?:(?P<more>%s)|%s?+\Z)" % (self._delimiter, LINE_END)
        return re.compile(rb"(?:%s|%s|(?P<text>%s))%s" % (strict, odd, self._text, ends))


def _text(delimiter: bytes, *, escapes: bool, line_ends: bool = True) -> bytes:
    """An unquoted cell, which may have escaped line ends."""
    first = re.escape(delimiter[:1])
    plain = rb"[^%s%s\r\n]*+" % (first, rb"\\" if escapes else b"")
    others = []
    if len(delimiter) > 1:
        others.append(rb"(?!%s)%s" % (re.escape(delimiter), first))
    if escapes:
        others.append(rb"\\(?:\r\n|[\s\S]|\Z)" if line_ends else rb"\\[^\r\n]")
    return plain + rb"(?:(?:%s)%s)*+" % (b"|".join(others), plain) if others else plain


class Grammar(NamedTuple):
    """`delimiter`: b"" = a single column; `quote`: one byte or b""; `escape`: "double", "backslash" or ""."""

    delimiter: bytes
    quote: bytes = b'"'
    escape: str = "double"

    @classmethod
    def of(cls, dialect: Dialect) -> Grammar:
        return cls(dialect.delimiter.encode(), dialect.quote.encode(), dialect.escape)

    @property
    def patterns(self) -> Patterns:
        return _patterns(self)

    def is_plain(self, text: bytes) -> bool:
        """Return whether in `text` every delimiter parts two cells and every line end two records."""
        return not (self.quote and self.quote in text) and not (self.escape == BACKSLASH and b"\\" in text)


@lru_cache(maxsize=64)
def _patterns(grammar: Grammar) -> Patterns:
    return Patterns(*grammar)
