"""Groups the records of a file into chunks: a chunk is the part of an import that one row job works off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline_engine.domain.imports.csv.dialect import Dialect
from pipeline_engine.domain.imports.csv.grammar import Grammar
from pipeline_engine.domain.imports.csv.recoder import Recoder, recoded
from pipeline_engine.domain.imports.csv.records import MAX_RECORD_BYTES, Kind, Record, RecordCutter, line_ends

MAX_ROWS = 500
MAX_BYTES = 4 * 1024 * 1024
MAX_SHOWN_BYTES = 8 * 1024
"""Bytes kept of a record that is not loaded, for the error report."""


class Chunk(NamedTuple):
    """Rows `first_row` to `first_row + rows - 1` (1 = the first data row): bytes `start` to `end` of the file.

    A record that is no row is a chunk of its own, with its kind; only its first `MAX_SHOWN_BYTES` are loaded.
    """

    n: int
    first_row: int
    start: int
    end: int
    first_line: int
    last_line: int
    rows: int
    kind: Kind
    odd: tuple[int, ...] = ()
    """Start and end of each odd record, in UTF-8 bytes from the chunk's start: what lies behind the chunk decided."""
    encoding: str = ""
    """Of its bytes; "" = the dialect's."""

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Chunk:
        """Return the chunk that a document holds; one of an earlier version has fewer fields."""
        known = {name: stored[name] for name in cls._fields if name in stored}
        return cls(**{**known, "kind": Kind(known["kind"]), "odd": tuple(known.get("odd", ()))})

    @property
    def loaded(self) -> int:
        """The offset where the bytes to load for this chunk end."""
        return self.end if self.kind is Kind.OK else min(self.end, self.start + MAX_SHOWN_BYTES)

    def piece(self, raw: bytes, dialect: Dialect) -> Piece:
        """Return the chunk with its records, cut again out of its bytes in the file."""
        data = recoded(raw, self.encoding or dialect.encoding)
        if self.kind is not Kind.OK:
            whole = Record(self.start, self.end, self.first_line, self.last_line - self.first_line + 1, self.kind)
            return Piece(self, [whole], data)
        return Piece(self, list(self._records(data, Grammar.of(dialect))), data)

    def _records(self, data: bytes, grammar: Grammar) -> Iterator[Record]:
        """The records of the chunk: `csv.reader`'s, but for the odd ones."""
        at, line = 0, self.first_line
        for start, end in [*zip(self.odd[::2], self.odd[1::2], strict=True), (len(data), len(data))]:
            # Offset 0 of the file may have a byte order mark; a chunk begins behind it.
            cutter = RecordCutter(grammar, start=self.start + at, line=line)
            yield from cutter.feed(data[at:start])
            yield from cutter.close()
            line += line_ends(data[at:start])
            if start < end:
                lines = line_ends(data[start:end])
                yield Record(self.start + start, self.start + end, line, lines or 1, Kind.ODD)
                line += lines
            at = end


class Piece(NamedTuple):
    """A chunk with what a row job needs: its text in UTF-8, and records whose offsets count from `chunk.start` on."""

    chunk: Chunk
    records: list[Record]
    data: bytes

    def raw(self, record: Record) -> bytes:
        """Return the text of one of the records."""
        return self.data[record.start - self.chunk.start : record.end - self.chunk.start]


class ChunkCutter:
    """Cuts the data rows of a stream into chunks; `start`, `line`, `n` and `first_row` say where the stream begins.

    `width` is the number of columns. Holds at most one chunk and one record of `limit` bytes (at least
    `MAX_SHOWN_BYTES`) in memory, whatever the stream. Records behind the dialect's `end_line` are left out.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        width: int = 0,
        start: int,
        line: int,
        n: int = 0,
        first_row: int = 1,
        rows: int = MAX_ROWS,
        size: int = MAX_BYTES,
        limit: int = MAX_RECORD_BYTES,
    ) -> None:
        self._encoding = dialect.encoding
        self._recoder = Recoder(dialect.encoding)
        self._records = RecordCutter(Grammar.of(dialect), width=width, start=start, line=line, limit=limit)
        self._rows, self._size, self._limit = rows, size, limit
        self._end_line = dialect.end_line
        self._n, self._row = n, first_row
        self._seen = start
        """Where the UTF-8 text ends; like the offsets of records it counts from `start` on, in bytes of UTF-8."""
        self._window = bytearray()
        """The bytes of the waiting records and of the open one; they end at `_seen`."""
        self._raw = start
        """The offset in the file of the first byte of `_window`."""
        self._raw_end = start
        self._waiting: list[Record] = []
        self._first_raw, self._first_bytes = start, b""
        """Where an open record starts in the file that is too large to keep whole, and its first bytes."""

    def feed(self, block: bytes) -> list[Piece]:
        """Return the chunks that are full after `block`."""
        self._raw_end += len(block)
        text = self._recoder.feed(block)
        self._see(text)
        self._wait(self._records.feed(text))
        too_large = self._seen - self._records.pending > self._limit
        pieces = self._take(flush=too_large)
        self._forget(too_large)
        return pieces

    def close(self) -> list[Piece]:
        """Return the chunks that end with the stream."""
        if text := self._recoder.close():
            self._see(text)
            self._wait(self._records.feed(text))
        self._wait(self._records.close())
        return self._take(flush=True)

    def _see(self, text: bytes) -> None:
        self._window += text
        self._seen += len(text)

    def _wait(self, records: list[Record]) -> None:
        if self._end_line:
            records = [record for record in records if record.line <= self._end_line]
        self._waiting += records

    def _take(self, *, flush: bool) -> list[Piece]:
        pieces = []
        taken = 0
        while taken < len(self._waiting):
            fitting = self._fitting(self._waiting[taken : taken + self._rows])
            if taken + fitting == len(self._waiting) and fitting < self._rows and not flush:
                break
            pieces.append(self._piece(self._waiting[taken : taken + fitting]))
            taken += fitting
        del self._waiting[:taken]
        return pieces

    def _fitting(self, head: list[Record]) -> int:
        """How many of the records go into one chunk."""
        if not head[0].kind.is_row:
            return 1
        if head[-1].end - head[0].start <= self._size and all(record.kind is Kind.OK for record in head):
            return len(head)
        fits = (record.kind.is_row and record.end - head[0].start <= self._size for record in head[1:])
        return 1 + next((n for n, fit in enumerate(fits) if not fit), len(head) - 1)

    def _piece(self, records: list[Record]) -> Piece:
        first, last = records[0], records[-1]
        self._drop(first.start)
        start, data = self._raw, bytes(self._window[: last.end - first.start])
        if first.start < self._zero:  # a record too large, whose bytes were dropped
            start, data = self._first_raw, self._first_bytes
        self._drop(last.end)
        # A last character of which only a part is there has fewer bytes than `raw_length` says.
        end = min(self._raw, self._raw_end)
        odd = [edge - first.start for record in records if record.kind is Kind.ODD for edge in record[:2]]
        kind = Kind.OK if first.kind.is_row else first.kind
        last_line = last.line + last.lines - 1
        lines = (first.line, last_line)
        chunk = Chunk(self._n, self._row, start, end, *lines, len(records), kind, tuple(odd), self._encoding)
        self._n += 1
        self._row += len(records)
        return Piece(chunk, _moved(records, start - first.start), data if kind is Kind.OK else data[:MAX_SHOWN_BYTES])

    @property
    def _zero(self) -> int:
        """Where `_window` begins in the text."""
        return self._seen - len(self._window)

    def _drop(self, end: int) -> None:
        """Drop the bytes of the window up to `end`."""
        if (size := end - self._zero) > 0:
            self._raw += self._recoder.raw_length(bytes(self._window[:size]))
            del self._window[:size]

    def _forget(self, too_large: bool) -> None:
        needed = self._waiting[0].start if self._waiting else self._records.pending
        self._drop(needed)
        if too_large:
            if needed >= self._zero:
                self._first_raw, self._first_bytes = self._raw, bytes(self._window[:MAX_SHOWN_BYTES])
            self._drop(self._seen)


def _moved(records: list[Record], by: int) -> list[Record]:
    """The records with other offsets: those of a chunk count from its start in the file."""
    return [record._replace(start=record.start + by, end=record.end + by) for record in records] if by else records
