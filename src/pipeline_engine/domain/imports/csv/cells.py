"""Reads the cells of one record out of its bytes, also where its quotes are not those of a well-formed file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from pipeline_engine.domain.imports.csv.grammar import BACKSLASH, Grammar

MAX_CELLS = 1024
"""Cells of a record that are read: more than a row can have."""
ESCAPED = re.compile(rb"\\(\r\n|[\s\S])")
NULL = rb"\N"
Pattern = re.Pattern[bytes]


def read_cells(record: bytes, grammar: Grammar, width: int = 0) -> list[bytes]:
    """Return the cells of a record in the reading that has `width` cells; without one, as `csv.reader` reads it.

    In the order in which they are tried: a quoted cell closes at the first quote behind which a cell may end; a quote
    that does not close is text; text behind a closing quote belongs to the cell.
    """
    patterns = grammar.patterns
    for pattern in (patterns.reading_leniently, patterns.reading_literally) if width else ():
        if count_cells(record, pattern, grammar, width + 1) == width:
            return _read(record, pattern, grammar)
    return _read(record, patterns.reading_loosely, grammar)


def fits(line: bytes, grammar: Grammar, width: int) -> bool:
    """Return whether some reading of a line has exactly `width` cells."""
    if _delimiters(line, grammar) < width - 1:
        return False
    patterns = grammar.patterns
    readings = (patterns.reading_leniently, patterns.reading_literally, patterns.reading_loosely)
    return any(count_cells(line, pattern, grammar, width + 1) == width for pattern in readings)


def is_whole_row(line: bytes, grammar: Grammar, width: int) -> bool:
    """Return whether the line by itself has `width` cells, with a quote that does not close as text."""
    delimiters = _delimiters(line, grammar)
    if delimiters < width - 1 or grammar.is_plain(line):
        return delimiters == width - 1
    return count_cells(line, grammar.patterns.reading_literally, grammar, width + 1) == width


def _delimiters(line: bytes, grammar: Grammar) -> int:
    return line.count(grammar.delimiter) if grammar.delimiter else 0


def count_cells(record: bytes, pattern: Pattern, grammar: Grammar, limit: int) -> int:
    """Return the number of cells, at most `limit`; 0 when the record does not end with a cell."""
    cells = 0
    for cells, found in enumerate(_matches(record, pattern, grammar), 1):
        if found["more"] is None or cells == limit:
            return cells
    return 0


def _read(record: bytes, pattern: Pattern, grammar: Grammar) -> list[bytes]:
    cells, end, more = [], 0, True
    for found in islice(_matches(record, pattern, grammar), MAX_CELLS):
        cells.append(_value(found, grammar))
        end, more = found.end(), found["more"] is not None
    if more and len(cells) < MAX_CELLS:  # the last cell opens with a quote that never closes
        cells.append(_unescaped(record[end + len(grammar.quote) :], grammar, quoted=True))
    return cells


def _matches(record: bytes, pattern: Pattern, grammar: Grammar) -> Iterator[re.Match[bytes]]:
    literally = grammar.patterns.reading_literally
    last = _last_close(record, grammar) if pattern is grammar.patterns.reading_leniently else len(record)
    at = 0
    # Behind `last` no quoted cell can close, and each that opens would be searched to the end for its quote.
    while found := (pattern if at <= last else literally).match(record, at):
        yield found
        at = found.end()
        if found["more"] is None:
            return


def _last_close(record: bytes, grammar: Grammar) -> int:
    """Where the last quote stands behind which a cell may end; -1 when there is none."""
    line = record.rstrip(b"\r\n")
    if not grammar.quote or line.endswith(grammar.quote):
        return len(line) - 1 if grammar.quote else -1
    return line.rfind(grammar.quote + grammar.delimiter) if grammar.delimiter else -1


def _value(found: re.Match[bytes], grammar: Grammar) -> bytes:
    if (text := found["text"]) is not None:
        return _unescaped(text, grammar, quoted=False)
    if (quoted := found["quoted"]) is not None:
        return _unescaped(quoted, grammar, quoted=True)
    return _unescaped(found["head"], grammar, quoted=True) + _unescaped(found["tail"], grammar, quoted=False)


def _unescaped(text: bytes, grammar: Grammar, *, quoted: bool) -> bytes:
    if text == NULL and not quoted:
        return text  # no N behind a backslash: `RowMapper` knows what it means
    if grammar.escape == BACKSLASH:
        return ESCAPED.sub(rb"\1", text) if b"\\" in text else text
    if grammar.escape == "double" and quoted:
        return text.replace(grammar.quote * 2, grammar.quote)
    return text
