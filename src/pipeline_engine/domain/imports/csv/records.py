"""Finds where the records of a CSV file begin and end, in its bytes as they arrive.

A record is what Python's `csv.reader` (default dialect) takes for one: a quote opens only at the start of a field,
`"x"y` goes on literally behind its second quote, a line end inside quotes belongs to the field. A blank line is not a
record but counts as a line. UTF-8 and the single-byte encodings never use the bytes of a quote, a delimiter or a line
end inside another character, so the cutter works on bytes and decodes no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from itertools import accumulate, compress, count, repeat
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
MAX_RECORD_BYTES = 1024 * 1024
BLANK = frozenset([b"\n", b"\r", b"\r\n"])
QUOTED = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"')


class Kind(StrEnum):
    OK = "ok"
    TOO_LARGE = "too_large"
    """Longer than allowed; its bytes are not loaded."""
    UNCLOSED = "unclosed"
    """A quote opens and the file ends before it closes, so the end of this record is unknown. Always the last one."""


class Record(NamedTuple):
    """Bytes `start` to `end` (line end included) of the file: `lines` physical lines from number `line` (1 = first)."""

    start: int
    end: int
    line: int
    lines: int
    kind: Kind


class RecordCutter:
    """Cuts a stream of bytes into records. Keeps no bytes, only the start and the quoting state of the open record.

    `start` and `line` are the offset and the physical line of the first byte that will be fed. A byte order mark is
    skipped at offset 0 only. The time of a call grows only with its block: up to 50 ms for the most hostile 64 KB.
    """

    def __init__(self, delimiter: bytes, *, start: int = 0, line: int = 1, limit: int = MAX_RECORD_BYTES) -> None:
        rest = rb"[^%s\r\n]*+" % re.escape(delimiter)
        in_line = rb'(?:"[^"\r\n]*+(?:""[^"\r\n]*+)*+"|(?!"))' + rest
        in_lines = rb'(?:"[^"]*+(?:""[^"]*+)*+"|(?!"))' + rest
        after = b"[%s\r\n]" % re.escape(delimiter)
        self._cells = re.compile(b"(?:" + in_line + after + b")*+")
        self._fields = re.compile(b"(?:" + in_lines + re.escape(delimiter) + b")*+")
        self._record = re.compile(self._fields.pattern + in_lines + rb"(?:\r\n?+|\n)")
        self._delimiter = delimiter
        self._limit = limit
        self._seen = start
        """Offset behind the last byte fed."""
        self._at_bom = start == 0
        self._carry = b""
        """Stands for the open record: the shortest bytes that leave a reader where the record leaves it."""
        self._open = False
        self._start = start
        self._line = line
        """Start and first line of the open record, or of what comes next."""
        self._line_ends = 0
        """Line ends inside the open record so far."""
        self._last = b""

    @property
    def pending(self) -> int:
        """The offset before which every record has been returned; the open record, if there is one, starts here."""
        return self._start

    def feed(self, block: bytes) -> list[Record]:
        """Return the records that end within `block`."""
        self._seen += len(block)
        self._last = block[-1:] or self._last
        return self._cut(self._carry + block, last=False)

    def close(self) -> list[Record]:
        """Return the records that end with the stream."""
        records = self._cut(self._carry, last=True)
        if self._open:
            unclosed = self._carry == b'"'
            lines = self._line_ends + (not unclosed or self._last not in BLANK)
            records.append(self._ended(self._seen, lines, Kind.UNCLOSED if unclosed else None))
        return records

    def _cut(self, data: bytes, *, last: bool) -> list[Record]:
        if self._at_bom:
            if BOM.startswith(data) and data != BOM and not last:
                self._carry = data
                return []
            data = self._without_bom(data)
        # A CR at the end may be the first half of a CRLF, so it waits for the next byte.
        held = b"\r" if data.endswith(b"\r") and not last else b""
        zero = self._seen - len(data)
        data = data.removesuffix(held)
        records: list[Record] = []
        stop = 0 if self._open else self._take_lines(data, 0, zero, records)
        while record := self._record.match(data, stop):
            stop = record.end()
            records.append(self._ended(zero + stop, self._line_ends + line_ends(record[0])))
            stop = self._take_lines(data, stop, zero, records)
        self._line_ends += line_ends(data[stop:])
        self._carry = self._state_of(data[stop:]) + held
        self._open = stop < len(data)
        return records

    def _without_bom(self, data: bytes) -> bytes:
        self._at_bom = False
        text = data.removeprefix(BOM)
        self._start = self._seen - len(text)
        return text

    def _take_lines(self, data: bytes, at: int, zero: int, records: list[Record]) -> int:
        """Append the records from `at` on that are one line each; returns where the first other one starts."""
        reach = _run(self._cells, data, at) if data.find(b'"', at) >= 0 else len(data)
        stop = max(data.rfind(b"\n", at, reach), data.rfind(b"\r", at, reach), at - 1) + 1
        lines = data[at:stop].splitlines(keepends=True)
        if lines:
            records += self._lines(lines, zero + at)
            self._start = zero + stop
            self._line += len(lines)
        return stop

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

    def _ended(self, end: int, lines: int, kind: Kind | None = None) -> Record:
        record = Record(self._start, end, self._line, lines, kind or self._kind(self._start, end))
        self._start = end
        self._line += lines
        self._line_ends = 0
        return record

    def _kind(self, start: int, end: int) -> Kind:
        return Kind.TOO_LARGE if end - start > self._limit else Kind.OK

    def _state_of(self, rest: bytes) -> bytes:
        """The shortest bytes that leave a reader where `rest`, the open record, leaves it."""
        if not rest:
            return b""
        field = rest[_run(self._fields, rest) :]
        if not field:
            return self._delimiter
        if not field.startswith(b'"'):
            return b"x"
        quoted = QUOTED.match(field)
        if quoted is None:
            return b'"'
        # A quote that is the very last byte may yet turn out to be the first of a doubled one.
        return b'""' if quoted.end() == len(field) else b"x"


def _run(pattern: re.Pattern[bytes], text: bytes, at: int = 0) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def line_ends(text: bytes) -> int:
    """Return how many lines end in `text`."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
