"""Reads the rows of a sample of a file under one candidate reading.

It forgives more than a strict reader, so that one stray quote does not spoil the comparison: a quoted cell ends with a
quote before a delimiter or a line end; a quote without such an end is an ordinary character; and lines that are whole
rows by themselves do not belong to a quoted cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

MAX_QUOTED_LINES = 200
MAX_QUOTED_CHARS = 8 * 1024
MAX_LOOKED_AT = 64 * 1024
"""Characters behind opening quotes that are looked at while one sample is read: bounds the time of hostile ones."""
LINE_END = re.compile("\r\n?|\n")


class Format(NamedTuple):
    """How a reader tells cells apart: `delimiter` '' = a single column, `escape` 'double', 'backslash' or ''."""

    delimiter: str
    quote: str = '"'
    escape: str = "double"


class TableRow(NamedTuple):
    """`line` is the physical line on which the row begins (1 = first), `lines` how many it has."""

    line: int
    lines: int
    cells: list[str]

    @property
    def is_blank(self) -> bool:
        return not any(cell.strip() for cell in self.cells)


def split_lines(text: str, at_most: int = 0) -> list[str]:
    """Return the physical lines, without their ends; behind the last line end stands one more, which may be empty.

    With `at_most`, all that stands behind so many line ends is left as one.
    """
    return LINE_END.split(text, maxsplit=at_most)


def read_rows(lines: Sequence[str], form: Format, *, first_line: int = 1) -> list[TableRow]:
    """Return the rows of the lines; `first_line` is the number of the first. Empty lines together are one row."""
    rows = list(iterate_rows(lines, form, first_line=first_line))
    if rows and rows[-1].cells == [""]:
        rows.pop()
    return rows


def iterate_rows(
    lines: Sequence[str], form: Format, *, first_line: int = 1, max_chars: int = MAX_QUOTED_CHARS
) -> Iterator[TableRow]:
    """Return the rows one by one; a quoted cell over several lines ends before `max_chars`, or it is none."""
    reader = _RowReader(lines, form, max_chars)
    at = 0
    while at < len(lines):
        cells, taken = ([""], _blank_lines(lines, at)) if not lines[at] else reader.row(at)
        yield TableRow(first_line + at, taken, cells)
        at += taken


def _blank_lines(lines: Sequence[str], at: int) -> int:
    """How many empty lines follow each other from line `at` on."""
    end = at
    while end < len(lines) and not lines[end]:
        end += 1
    return end - at


class _RowReader:
    def __init__(self, lines: Sequence[str], form: Format, max_chars: int) -> None:
        self._lines, self._form, self._max_chars = lines, form, max_chars
        self._cell = cell_pattern(form)
        self._width = 1
        """That of the last row on one line."""
        self._looked_at = 0

    def row(self, at: int) -> tuple[list[str], int]:
        """The cells of the row that begins with line `at`, and how many lines it has."""
        line = self._lines[at]
        if not self._form.quote or self._form.quote not in line:
            return self._plain(line), 1
        cells = self._cells(line)
        if cells is None and (joined := self._joined(at)):
            return joined
        cells = cells or self._forgiven(line)
        self._width = len(cells)
        return cells, 1

    def _plain(self, line: str) -> list[str]:
        return line.split(self._form.delimiter) if self._form.delimiter else [line]

    def _cells(self, text: str) -> list[str] | None:
        """The cells of a whole row; None when a quote opens and does not close."""
        cells, at = [], 0
        while found := self._cell.match(text, at):
            quoted, plain = found.groups()
            cells.append(plain if quoted is None else self._unquoted(quoted))
            at = found.end() + len(self._form.delimiter)
            if found.end() == len(text):
                return cells
        return None

    def _forgiven(self, text: str) -> list[str]:
        """The cells of a line; a quote that opens and does not close is an ordinary character."""
        cells, at = [], 0
        while at <= len(text):
            found = self._cell.match(text, at)
            if found and found[1] is not None:
                cells.append(self._unquoted(found[1]))
                end = found.end()
            else:
                end = text.find(self._form.delimiter, at) if self._form.delimiter else -1
                end = len(text) if end < 0 else end
                cells.append(text[at:end])
            if end == len(text):
                break
            at = end + len(self._form.delimiter)
        return cells

    def _joined(self, at: int) -> tuple[list[str], int] | None:
        """The row of several lines that begins with line `at`, if there is one."""
        text = self._lines[at]
        for taken, line in enumerate(self._lines[at + 1 : at + MAX_QUOTED_LINES], 2):
            text = f"{text}\n{line}"
            self._looked_at += len(text) if self._form.quote in line else len(line)
            if len(text) > self._max_chars or self._looked_at > MAX_LOOKED_AT:
                return None
            if self._form.quote in line and (cells := self._cells(text)) is not None:
                return None if self._are_rows(at, taken) else (cells, taken)
        return None

    def _are_rows(self, at: int, taken: int) -> bool:
        """Whether the lines behind line `at` are whole rows by themselves, so that its quote is a stray one."""
        if self._width < 2:
            return False
        widths = (len(self._forgiven(line)) for line in self._lines[at + 1 : at + taken])
        return all(width == self._width for width in widths)

    def _unquoted(self, quoted: str) -> str:
        quote, escape = self._form.quote, self._form.escape
        if escape == "backslash":
            quoted = quoted.replace("\\" + quote, quote).replace("\\\\", "\\")
        return quoted.replace(quote * 2, quote)


@lru_cache(maxsize=256)
def cell_pattern(form: Format) -> re.Pattern[str]:
    """Return the pattern of one cell up to its end: group 1 is the inside of a quoted one, group 2 a plain one."""
    quote, delimiter = re.escape(form.quote), re.escape(form.delimiter)
    end = f"(?={delimiter}|\\Z)" if delimiter else "(?=\\Z)"
    inside = f"[^{quote}]|{quote}{quote}"
    if form.escape == "backslash":
        inside = f"[^{quote}\\\\]|\\\\.|{quote}{quote}"
    # Blanks behind a closing quote are forgiven, unless they are the delimiter.
    blanks = "" if " " in form.delimiter or "\t" in form.delimiter else "[ \\t]*"
    plain = f"[^{delimiter}]*+" if len(form.delimiter) == 1 else f"(?:(?!{delimiter}).)*+" if delimiter else ".*+"
    return re.compile(f"{quote}((?:{inside})*+){quote}{blanks}{end}|(?!{quote})({plain})", re.DOTALL)
