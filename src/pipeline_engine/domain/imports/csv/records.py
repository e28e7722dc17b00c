"""Finds where the records of a CSV file begin and end, in its bytes as they arrive.

A record is what Python's `csv.reader` takes for one, unless its quotes are those of no well-formed file: then
`weighing.py` judges where it ends. A line end inside quotes belongs to the cell. A blank line is not a record but
counts as a line. UTF-8 never uses the bytes of a quote, a delimiter or a line end inside another character, so the
cutter works on bytes and decodes no text; `Recoder` turns other encodings into UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from itertools import accumulate, compress, count, repeat
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.grammar import BACKSLASH, Grammar
from pipeline_engine.domain.imports.csv.weighing import WEIGHED_BYTES, Verdict, Weighing

BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 1024 * 1024
BLANK = frozenset([b"\n", b"\r", b"\r\n"])


class Kind(StrEnum):
    OK = "ok"
    ODD = "odd"
    """It has stray quotes: `read_cells` reads it, `csv.reader` would not read what was meant."""
    TOO_LARGE = "too_large"
    """Longer than allowed; its bytes are not loaded."""
    UNCLOSED = "unclosed"
    """A quote opens and the file ends before it closes, so the end of this record is unknown. Always the last one."""
    DOUBTFUL = "doubtful"
    """Its lines may be one row with a cell of several lines, or several rows and a stray quote."""

    @property
    def is_row(self) -> bool:
        """Whether it becomes a row; any other becomes an error and is a chunk of its own."""
        return self is Kind.OK or self is Kind.ODD


KINDS = {Verdict.WELL_FORMED: Kind.OK, Verdict.ODD: Kind.ODD, Verdict.DOUBTFUL: Kind.DOUBTFUL}


class Record(NamedTuple):
    """Bytes `start` to `end` (line end included) of the file: `lines` physical lines from number `line` (1 = first)."""

    start: int
    end: int
    line: int
    lines: int
    kind: Kind


class RecordCutter:
    """Cuts a stream of UTF-8 bytes into records. Keeps at most `WEIGHED_BYTES` of the open record.

    `start` and `line` are the offset and the physical line of the first byte that will be fed. A byte order mark is
    skipped at offset 0 only. With `width`, the number of cells of a whole row, a stray quote does not swallow the lines
    behind it; without (0) a record is what `csv.reader` takes for one. The time of a call grows only with its block.
    """

    def __init__(
        self, grammar: Grammar, *, width: int = 0, start: int = 0, line: int = 1, limit: int = MAX_RECORD_BYTES
    ) -> None:
        self._grammar = grammar
        self._patterns = grammar.patterns
        self._weighing = Weighing(grammar, width) if width else None
        self._limit = limit
        self._seen = start
        """Offset behind the last byte fed."""
        self._at_bom = start == 0
        self._carry = b""
        """The open record, or, if it is not weighed, the shortest bytes that leave a reader where it leaves it."""
        self._short = not width
        """Whether `_carry` are such shortest bytes."""
        self._open = False
        self._start = start
        self._line = line
        """Start and first line of the open record, or of what comes next."""
        self._line_ends = 0
        """Line ends inside the open record that are no longer in `_carry`."""
        self._last = b""

    @property
    def pending(self) -> int:
        """The offset before which every record has been returned; the open record, if there is one, starts here."""
        return self._start

    def feed(self, block: bytes) -> list[Record]:
        """Return the records that end within `block`."""
        self._seen += len(block)
        self._last = block[-1:] or self._last
        if self._waits_for_more(block):
            self._carry += block
            return []
        return self._cut(self._carry + block, last=False)

    def _waits_for_more(self, block: bytes) -> bool:
        """Whether the open record goes on through the whole block, so that it need not be looked at again."""
        if not self._open or self._short or self._carry.endswith(b"\r"):
            return False
        ends = b"\n" in block or b"\r" in block or (self._grammar.quote and self._grammar.quote in block)
        return not ends and len(self._carry) + len(block) <= WEIGHED_BYTES

    def close(self) -> list[Record]:
        """Return the records that end with the stream."""
        records = self._cut(self._carry, last=True)
        if self._open:
            unclosed = self._carry == self._grammar.quote
            lines = self._line_ends + (self._last not in BLANK)
            records.append(self._ended(self._seen, lines, Kind.UNCLOSED if unclosed else Kind.OK))
        return records

    def _cut(self, data: bytes, *, last: bool) -> list[Record]:
        if self._at_bom:
            if BOM.startswith(data) and data != BOM and not last:
                self._carry = data
                return []
            data = self._without_bom(data)
        held = b"" if last else self._held(data)
        zero = self._seen - len(data)
        data = data.removesuffix(held)
        records: list[Record] = []
        at = 0
        end: int | None = 0
        while end is not None:
            at = end if self._open else self._take_lines(data, end, zero, records)
            self._open = at < len(data)
            end = self._take_record(data, at, zero, records, last=last) if self._open else None
        self._keep(data[at:], held)
        return records

    def _held(self, data: bytes) -> bytes:
        """The bytes at the end that mean something else with the next byte: half of a CRLF, a backslash."""
        held = b"\r" if data.endswith(b"\r") else b""
        if self._grammar.escape == BACKSLASH:
            text = data.removesuffix(held)
            held = b"\\" * ((len(text) - len(text.rstrip(b"\\"))) % 2) + held
        return held

    def _without_bom(self, data: bytes) -> bytes:
        self._at_bom = False
        text = data.removeprefix(BOM)
        self._start = self._seen - len(text)
        return text

    def _take_lines(self, data: bytes, at: int, zero: int, records: list[Record]) -> int:
        """Append the records from `at` on that are one line each; returns where the first other one starts."""
        reach = _run(self._patterns.cells_in_line, data, at) if self._is_odd(data, at) else len(data)
        stop = max(data.rfind(b"\n", at, reach), data.rfind(b"\r", at, reach), at - 1) + 1
        lines = data[at:stop].splitlines(keepends=True)
        if lines:
            records += self._lines(lines, zero + at)
            self._start = zero + stop
            self._line += len(lines)
        return stop

    def _is_odd(self, data: bytes, at: int) -> bool:
        """Whether a line end behind `at` may be part of a cell."""
        quote, escapes = self._grammar.quote, self._grammar.escape == BACKSLASH
        return bool(quote and data.find(quote, at) >= 0) or (escapes and data.find(b"\\", at) >= 0)

    def _lines(self, lines: list[bytes], start: int) -> list[Record]:
        sizes = list(map(len, lines))
        edges = list(accumulate(sizes, initial=start))
        fields: Iterable[tuple[int, int, int, int, Kind]]
        fields = zip(edges, edges[1:], count(self._line), repeat(1), repeat(Kind.OK), strict=False)
        if min(sizes) <= 2:
            fields = compress(fields, [line not in BLANK for line in lines])
        records = list(map(Record._make, fields))
        if max(sizes) > self._limit:
            records = [record._replace(kind=self._kind(record.start, record.end)) for record in records]
        return records

    def _take_record(self, data: bytes, at: int, zero: int, records: list[Record], *, last: bool) -> int | None:
        """Append the record that starts at `at` and return where it ends; None when `data` does not hold all of it."""
        if self._weighing and not self._short:
            verdict, end = self._weighing.judge(data, at, last=last)
            if verdict is Verdict.OPEN:
                return None
            if verdict is not Verdict.ENDLESS:
                lines = line_ends(data[at:end]) + (not data.endswith((b"\n", b"\r"), at, end))
                records.append(self._ended(zero + end, lines, KINDS[verdict]))
                return end
            self._short = True
        if found := self._patterns.record.match(data, at):
            records.append(self._ended(zero + found.end(), self._line_ends + line_ends(found[0])))
            return found.end()
        return None

    def _ended(self, end: int, lines: int, kind: Kind = Kind.OK) -> Record:
        kind = kind if kind is Kind.UNCLOSED else self._kind(self._start, end, kind)
        record = Record(self._start, end, self._line, lines, kind)
        self._start = end
        self._line += lines
        self._line_ends = 0
        self._open = False
        self._short = self._weighing is None
        return record

    def _kind(self, start: int, end: int, kind: Kind = Kind.OK) -> Kind:
        return Kind.TOO_LARGE if end - start > self._limit else kind

    def _keep(self, rest: bytes, held: bytes) -> None:
        if self._short:
            self._line_ends += line_ends(rest)
            rest = self._state_of(rest)
        self._carry = rest + held

    def _state_of(self, rest: bytes) -> bytes:
        """The shortest bytes that leave a reader where `rest`, the open record, leaves it."""
        if not rest:
            return b""
        quote, delimiter = self._grammar.quote, self._grammar.delimiter
        field = rest[_run(self._patterns.fields, rest) :]
        if not field:
            return delimiter
        if quote and field.startswith(quote):
            quoted = self._patterns.quoted.match(field)
            if quoted is None:
                return quote
            # A quote that is the very last byte may yet turn out to be the first of a doubled one.
            if quoted.end() == len(field):
                return quote * 2
        # The last bytes may be the first ones of a longer delimiter.
        begun = next((n for n in range(len(delimiter) - 1, 0, -1) if field.endswith(delimiter[:n])), 0)
        return b"x" + delimiter[:begun]


def _run(pattern: re.Pattern[bytes], text: bytes, at: int = 0) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def line_ends(text: bytes) -> int:
    """Return how many lines end in `text`."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
