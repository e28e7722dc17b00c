"""Weighs how a record goes on whose quotes are not those of a well-formed line.

A quoted cell that runs over lines may be one cell, or the quote may be stray, an inch mark for instance, and then every
line swallowed is a row that is lost. Lines that by themselves are whole rows speak for the second reading, unless
all of them are written in another way than the record's first line.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.cells import fits, is_whole_row
from pipeline_engine.domain.imports.csv.grammar import Grammar
from pipeline_engine.domain.imports.csv.row_style import RowStyle

WEIGHED_BYTES = 128 * 1024
"""Bytes from the start of a record within which its quoted cells must close to be weighed."""
MIN_LIKELY_SHARE, MIN_SURE_SHARE, MIN_UNCLOSED_SHARE = 0.8, 0.9, 0.5
"""Share of the lines inside the quotes that are whole rows: for a doubt, for a stray quote, for one never closed."""
MIN_DOUBT, MIN_SURE = 3, 12
"""Delimiters that stand in those lines exactly where rows have them: for a doubt, for a stray quote."""
NEXT_LINE = re.compile(rb"\r\n?+|\n")


class Verdict(Enum):
    WELL_FORMED = "well formed"
    """The record is what `csv.reader` takes it for."""
    ODD = "odd"
    """The record ends here, and its cells must be read with its stray quotes in mind."""
    DOUBTFUL = "doubtful"
    """Two readings are likely; the record is all the lines that differ."""
    ENDLESS = "endless"
    """Longer than what is weighed, and not because of a stray quote: `csv.reader`'s reading stands."""
    OPEN = "open"
    """More bytes are needed."""


class Weighing:
    """Judges the records of one grammar; `width` is the number of cells of a whole row."""

    def __init__(self, grammar: Grammar, width: int, window: int = WEIGHED_BYTES) -> None:
        self._grammar = grammar
        self._patterns = grammar.patterns
        self._width = width
        self._window = window

    def judge(self, data: bytes, start: int, *, last: bool) -> tuple[Verdict, int]:
        """Return what the record that starts at `start` is, and where it ends. `last`: the stream ends with `data`.

        The answer depends on the first bytes of the record alone, however the stream is broken into blocks.
        """
        if (record := self._patterns.strict_record.match(data, start)) and self._is_harmless(record[0]):
            return Verdict.WELL_FORMED, record.end()
        end, full = start + self._window, len(data) - start > self._window
        # Half a CRLF would count as a line end of its own.
        end = min(end, len(data)) - (full and data[end - 1 : end] == b"\r")
        return self._judge(_Reading(data, start, end, complete=last and not full, full=full))

    def _is_harmless(self, record: bytes) -> bool:
        """Whether a strict record of several lines has too few delimiters for two whole rows."""
        delimiter = self._grammar.delimiter
        return len(record) <= self._window and (
            self._width == 1 or not delimiter or record.count(delimiter) < 2 * (self._width - 1)
        )

    def _judge(self, reading: _Reading) -> tuple[Verdict, int]:
        at, data, limit = reading.start, reading.data, reading.end
        while True:
            at = reading.after(self._patterns.fields_in_line, at)
            if ended := self._patterns.last_in_line.match(data, at, limit):
                return Verdict.WELL_FORMED, ended.end()
            if not (self._grammar.quote and data.startswith(self._grammar.quote, at, limit)):
                return reading.at_end(Verdict.WELL_FORMED)
            quoted = self._patterns.quoted.match(data, at, limit)
            if quoted is None:
                return self._unclosed(reading, at)
            verdict, at = self._closed(reading, at, quoted.end())
            if verdict is not Verdict.WELL_FORMED or data[at - 1 : at] in (b"\n", b"\r"):
                return verdict, at
            if at == limit:
                return reading.at_end(verdict)

    def _unclosed(self, reading: _Reading, at: int) -> tuple[Verdict, int]:
        """A quote at `at` does not close."""
        if not (reading.complete or reading.full):
            return Verdict.OPEN, 0
        end = reading.line_end(at)
        if end is None:
            return reading.at_end(Verdict.ODD)
        if reading.complete or self._width == 1:
            return Verdict.ODD, end
        lines = reading.data[end : reading.end].splitlines()[:-1]
        likely = is_whole_row(reading.data[reading.start : end], self._grammar, self._width)
        enough = self._count(lines).share >= MIN_UNCLOSED_SHARE
        return (Verdict.ODD, end) if likely and enough else (Verdict.ENDLESS, 0)

    def _closed(self, reading: _Reading, at: int, close: int) -> tuple[Verdict, int]:
        """The quoted cell at `at` closes right before `close`. WELL_FORMED: the record goes on at the offset."""
        end = reading.line_end(close)
        if end is None:
            if not reading.complete:
                return reading.at_end(Verdict.OPEN)
            end = reading.end
        strict = self._may_follow(reading.data[close:end])
        first = reading.line_end(at)
        if first is None or first >= end:
            whole = not strict and fits(reading.data[reading.start : end], self._grammar, self._width)
            return (Verdict.ODD, end) if whole else (Verdict.WELL_FORMED, self._after(reading, close))
        return self._weigh(reading, at, first, close, end, strict=strict)

    def _weigh(
        self, reading: _Reading, at: int, first: int, close: int, end: int, *, strict: bool
    ) -> tuple[Verdict, int]:
        """The quoted cell at `at` opens on the line up to `first` and closes at `close`, on the line up to `end`."""
        data, start = reading.data, reading.start
        one = Verdict.WELL_FORMED, self._after(reading, close)
        stray, doubtful = (Verdict.ODD, first), (Verdict.DOUBTFUL, end)
        if self._width == 1:
            return one if strict else doubtful
        starts_whole = is_whole_row(data[start:first], self._grammar, self._width)
        if strict and not starts_whole:
            return one
        rows = self._count(data[first:end].splitlines()) if starts_whole else _Rows(0, 0)
        if strict and rows.whole and self._is_text(reading, at, first, close, end):
            return one
        if not strict and rows.share >= MIN_UNCLOSED_SHARE:
            return stray
        whole_fits = fits(data[start:end], self._grammar, self._width)
        if not strict:
            return (Verdict.ODD, end) if whole_fits else stray
        whole_fits = whole_fits or self._goes_on(reading, close)
        evidence = rows.whole * (self._width - 1)
        if rows.share >= MIN_SURE_SHARE and evidence >= (MIN_SURE if whole_fits else 1):
            return stray
        return doubtful if rows.share >= MIN_LIKELY_SHARE and evidence >= MIN_DOUBT else one

    def _may_follow(self, behind: bytes) -> bool:
        delimiter = self._grammar.delimiter
        return not behind or behind[:1] in (b"\r", b"\n") or bool(delimiter and behind.startswith(delimiter))

    def _goes_on(self, reading: _Reading, close: int) -> bool:
        """Whether another quoted cell that runs over lines opens on the line where this one closes."""
        at = reading.after(self._patterns.fields_in_line, self._after(reading, close))
        quote = self._grammar.quote
        return reading.data.startswith(quote, at, reading.end) and not self._patterns.last_in_line.match(
            reading.data, at, reading.end
        )

    def _after(self, reading: _Reading, close: int) -> int:
        """Where a reader goes on behind the quoted cell that ends at `close`: the next cell, or the next record."""
        at = reading.after(self._patterns.text, close)
        delimiter = self._grammar.delimiter
        if delimiter and reading.data.startswith(delimiter, at, reading.end):
            return at + len(delimiter)
        return reading.after(NEXT_LINE, at)

    def _is_text(self, reading: _Reading, at: int, first: int, close: int, end: int) -> bool:
        """Whether all lines of the quoted cell that are whole rows are written in another way than its first line."""
        data = reading.data
        style = RowStyle.of(data[reading.start : at], data[at:first], self._grammar)
        without_quote = data[first : close - len(self._grammar.quote)] + data[close:end]
        # Without a quote between CR and LF there is one line less; that of the quote alone is no row.
        lines = zip(data[first:end].splitlines(), without_quote.splitlines(), strict=False)
        return not any(style.is_that_of(bare) for line, bare in lines if is_whole_row(line, self._grammar, self._width))

    def _count(self, lines: list[bytes]) -> _Rows:
        filled = [line for line in lines if line.strip()]
        return _Rows(sum(is_whole_row(line, self._grammar, self._width) for line in filled), len(filled))


class _Rows(NamedTuple):
    whole: int
    lines: int

    @property
    def share(self) -> float:
        return self.whole / self.lines if self.lines else 0.0


class _Reading(NamedTuple):
    """A record from `start` on and the bytes that may be looked at, up to `end`.

    `complete`: the stream ends there; `full`: it goes on, but no more may be looked at.
    """

    data: bytes
    start: int
    end: int
    complete: bool
    full: bool

    def line_end(self, at: int) -> int | None:
        found = NEXT_LINE.search(self.data, at, self.end)
        return found.end() if found else None

    def after(self, pattern: re.Pattern[bytes], at: int) -> int:
        found = pattern.match(self.data, at, self.end)
        return found.end() if found else at

    def at_end(self, verdict: Verdict) -> tuple[Verdict, int]:
        """The verdict when the stream ends here; else that more is needed, or that the record is too long to weigh."""
        if self.complete:
            return verdict, self.end
        return (Verdict.ENDLESS, 0) if self.full else (Verdict.OPEN, 0)
