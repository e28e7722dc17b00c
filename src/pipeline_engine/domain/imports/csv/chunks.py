"""Groups the records of a file into chunks: a chunk is the part of an import that one row job works off."""

from __future__ import annotations

from typing import NamedTuple

from pipeline_engine.domain.imports.csv.records import MAX_RECORD_BYTES, Kind, Record, RecordCutter

MAX_ROWS = 500
MAX_BYTES = 4 * 1024 * 1024
MAX_SHOWN_BYTES = 8 * 1024
"""Bytes kept of a record that is not loaded, for the error report."""


class Chunk(NamedTuple):
    """Rows `first_row` to `first_row + rows - 1` (1 = the first data row): bytes `start` to `end` of the file.

    A record that is not OK is a chunk of its own, with its kind; only its first `MAX_SHOWN_BYTES` are loaded.
    """

    n: int
    first_row: int
    start: int
    end: int
    first_line: int
    last_line: int
    rows: int
    kind: Kind

    @property
    def loaded(self) -> int:
        """The offset where the bytes to load for this chunk end."""
        return self.end if self.kind is Kind.OK else min(self.end, self.start + MAX_SHOWN_BYTES)

    def records(self, data: bytes, delimiter: bytes) -> list[Record]:
        """Return the records of this chunk, cut again out of its bytes."""
        if self.kind is not Kind.OK:
            return [Record(self.start, self.end, self.first_line, self.last_line - self.first_line + 1, self.kind)]
        cutter = RecordCutter(delimiter, start=self.start, line=self.first_line)
        return cutter.feed(data) + cutter.close()


class Piece(NamedTuple):
    """A chunk with the records and bytes that a row job needs."""

    chunk: Chunk
    records: list[Record]
    data: bytes


class ChunkCutter:
    """Cuts the data rows of a stream into chunks; `start`, `line`, `n` and `first_row` say where the stream begins.

    Holds at most one chunk and one record of `limit` bytes (at least `MAX_SHOWN_BYTES`) in memory, whatever the stream.
    """

    def __init__(
        self,
        delimiter: bytes,
        *,
        start: int,
        line: int,
        n: int = 0,
        first_row: int = 1,
        rows: int = MAX_ROWS,
        size: int = MAX_BYTES,
        limit: int = MAX_RECORD_BYTES,
    ) -> None:
        self._records = RecordCutter(delimiter, start=start, line=line, limit=limit)
        self._rows, self._size, self._limit = rows, size, limit
        self._n, self._row = n, first_row
        self._seen = start
        self._window = bytearray()
        """The bytes of the waiting records and of the open one; they end at `_seen`."""
        self._waiting: list[Record] = []
        self._first_bytes = b""
        """The first bytes of an open record that is too large to keep whole."""

    def feed(self, block: bytes) -> list[Piece]:
        """Return the chunks that are full after `block`."""
        self._window += block
        self._seen += len(block)
        self._waiting += self._records.feed(block)
        too_large = self._seen - self._records.pending > self._limit
        pieces = self._take(flush=too_large)
        self._forget(too_large)
        return pieces

    def close(self) -> list[Piece]:
        """Return the chunks that end with the stream."""
        self._waiting += self._records.close()
        return self._take(flush=True)

    def _take(self, *, flush: bool) -> list[Piece]:
        pieces = []
        while self._waiting:
            fitting = self._fitting()
            if fitting == len(self._waiting) < self._rows and not flush:
                break
            records, self._waiting = self._waiting[:fitting], self._waiting[fitting:]
            pieces.append(self._piece(records))
        return pieces

    def _fitting(self) -> int:
        """How many of the waiting records go into the next chunk."""
        head = self._waiting[: self._rows]
        if head[0].kind is not Kind.OK:
            return 1
        if head[-1].end - head[0].start <= self._size and all(record.kind is Kind.OK for record in head):
            return len(head)
        fits = (record.kind is Kind.OK and record.end - head[0].start <= self._size for record in head[1:])
        return 1 + next((n for n, fit in enumerate(fits) if not fit), len(head) - 1)

    def _piece(self, records: list[Record]) -> Piece:
        first, last = records[0], records[-1]
        chunk = Chunk(
            self._n, self._row, first.start, last.end, first.line, last.line + last.lines - 1, len(records), first.kind
        )
        self._n += 1
        self._row += len(records)
        return Piece(chunk, records, self._data(chunk))

    def _data(self, chunk: Chunk) -> bytes:
        zero = self._seen - len(self._window)
        if chunk.start < zero:  # a record too large, whose bytes were dropped
            return self._first_bytes
        return bytes(self._window[chunk.start - zero : chunk.loaded - zero])

    def _forget(self, too_large: bool) -> None:
        needed = self._waiting[0].start if self._waiting else self._records.pending
        zero = self._seen - len(self._window)
        del self._window[: max(0, needed - zero)]
        if too_large:
            self._first_bytes = self._first_bytes if needed < zero else bytes(self._window[:MAX_SHOWN_BYTES])
            self._window.clear()
