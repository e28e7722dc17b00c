"""Finds the columns of a file and the place where its data begins."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.dialect import SAVE_AGAIN, Dialect
from pipeline_engine.domain.imports.csv.grammar import Grammar
from pipeline_engine.domain.imports.csv.records import MAX_RECORD_BYTES, Kind, Record, RecordCutter, line_ends
from pipeline_engine.domain.imports.refusal import UNREADABLE, ImportRefused

PART_BYTES = 64 * 1024


class Header(NamedTuple):
    """`columns` as they stand in the file ("1", "2", … without a header); data from offset `start`, line `line` on."""

    columns: tuple[str, ...]
    start: int
    line: int


def find_header(head: bytes, dialect: Dialect, *, whole: bool) -> Header | None:
    """Return the header of a file that begins with `head` (`whole`: and ends there); None when it needs more.

    Raises: ImportRefused `empty`, `unreadable` (not in the encoding), `header` (longer than 1 MB, or a cell too long).
    """
    rest = head.lstrip(b"\r\n")
    start = len(head) - len(rest)
    cutter = RecordCutter(Grammar.of(dialect), start=start, line=1 + line_ends(head[:start]))
    for record in _records(cutter, rest, whole=whole):
        return _header(head, record, dialect)
    if whole:
        raise ImportRefused("the file is empty: it needs a header line and rows below it", "empty")
    if len(head) > MAX_RECORD_BYTES:
        raise _endless_header()
    return None


def _records(cutter: RecordCutter, rest: bytes, *, whole: bool) -> Iterator[Record]:
    # In parts, because only the first record is needed.
    for at in range(0, len(rest), PART_BYTES):
        yield from cutter.feed(rest[at : at + PART_BYTES])
    if whole:
        yield from cutter.close()


def _endless_header() -> ImportRefused:
    return ImportRefused(
        "the first 1 MB of the file holds no whole header line; perhaps a quote in it never closes", "header"
    )


def _header(head: bytes, record: Record, dialect: Dialect) -> Header:
    if record.kind is not Kind.OK:
        raise _endless_header()
    cells = _cells(head[record.start : record.end], dialect)
    if dialect.header_row:
        return Header(tuple(cells), record.end, record.line + record.lines)
    return Header(tuple(str(n) for n in range(1, len(cells) + 1)), record.start, record.line)


def _cells(line: bytes, dialect: Dialect) -> list[str]:
    try:
        text = line.decode(dialect.encoding)
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter))
    except UnicodeDecodeError:
        raise ImportRefused(
            f"the first line is not {dialect.encoding.upper()} text: {SAVE_AGAIN}", UNREADABLE
        ) from None
    except csv.Error:
        raise ImportRefused("a cell of the first line is longer than any column name can be", "header") from None
