"""Finds the header of a table among its rows: by the names that the import wants, else by what the cells hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.column_name import column_name
from pipeline_engine.domain.imports.csv.table_cells import kind_of
from pipeline_engine.domain.imports.csv.table_reader import TableRow

MAX_HEADER_ROWS = 3
MAX_PLACES_OF_SEVERAL = 10
"""How far down a header of several rows is looked for."""
MIN_DATA_ROWS = 3
"""Below these, a second row of text is no header."""
MAX_JUDGED_ROWS = 60
MIN_SHARE_OF_KIND = 0.7
MIN_FILL = 0.5
"""How full a header is at least, against the fullest row."""


class NamedHeader(NamedTuple):
    """`found` of the wanted names stand in the `rows` rows from place `at` on."""

    found: int
    at: int
    rows: int


def wanted_names(names: Iterable[str]) -> frozenset[str]:
    """Return the names as cells are compared with them, without numbers: these stand for columns without a name."""
    keys = (column_name(name).casefold() for name in names)
    return frozenset(key for key in keys if key and not (key.isascii() and key.isdigit()))


def joined_names(rows: Sequence[TableRow]) -> list[str]:
    """Return the names of the columns of a header of several rows: those of one column are joined by a blank."""
    width = max((len(row.cells) for row in rows), default=0)
    if len(rows) == 1:
        return list(rows[0].cells)
    parts = [[row.cells[place] if place < len(row.cells) else "" for row in rows] for place in range(width)]
    return [" ".join(part for part in map(str.strip, column) if part) for column in parts]


def find_named_header(rows: Sequence[TableRow], places: Collection[int], wanted: frozenset[str]) -> NamedHeader | None:
    """Return the header, at one of the places, that has most of the wanted names; of equals the first and shortest."""
    best = NamedHeader(0, 0, 0)
    for several in range(1, MAX_HEADER_ROWS + 1) if wanted else ():
        for at in places if several == 1 else list(places)[:MAX_PLACES_OF_SEVERAL]:
            header = rows[at : at + several]
            if len(header) == several and not any(row.is_blank for row in header):
                names = {column_name(name).casefold() for name in joined_names(header)}
                if (found := len(wanted & names)) > best.found:
                    best = NamedHeader(found, at, several)
            if best.found == len(wanted):
                return best
    return best if best.found else None


def column_kinds(rows: Sequence[TableRow], width: int) -> list[str]:
    """Return the kind of each column's cells: 'text' unless most of those that are filled are of another one kind."""
    judged = rows[:MAX_JUDGED_ROWS]
    kinds = []
    for place in range(width):
        found = [kind for row in judged if place < len(row.cells) and (kind := kind_of(row.cells[place])) != "empty"]
        common = max(set(found), key=found.count, default="text")
        kinds.append(common if found.count(common) >= MIN_SHARE_OF_KIND * max(1, len(found)) else "text")
    return kinds


def count_header_rows(rows: Sequence[TableRow], width: int) -> int:
    """Return how many of a table's first rows are its header: 0 to `MAX_HEADER_ROWS`.

    A header holds text above columns of something else. Where all columns are text, the first row is one unless its
    cells occur again below it.
    """
    if len(rows) == 1:
        return int(_is_text(rows[0]))
    for header_rows in range(min(MAX_HEADER_ROWS, len(rows) - MIN_DATA_ROWS), 1, -1):
        kinds = column_kinds(rows[header_rows:], width)
        if all(_is_text(row) and _stands_above(row, kinds) for row in rows[:header_rows]):
            return header_rows
    kinds = column_kinds(rows[1:], width)
    if not _is_text(rows[0]):
        return int(_stands_above(rows[0], kinds) and not _is_of(rows[0], kinds))
    return int(_stands_above(rows[0], kinds) or not occurs_again(rows))


def looks_like_header(row: TableRow, kinds: Sequence[str]) -> bool:
    """Whether the row holds only text, some of it in columns of something else (`kinds`)."""
    return _is_text(row) and _stands_above(row, kinds)


def is_full(row: TableRow, fullest: int) -> bool:
    """Whether so many cells are filled that the row may be a header, `fullest` being the most in any row."""
    return sum(bool(cell.strip()) for cell in row.cells) >= MIN_FILL * fullest


def _is_text(row: TableRow) -> bool:
    return all(kind_of(cell) in {"text", "empty"} for cell in row.cells)


def _stands_above(row: TableRow, kinds: Sequence[str]) -> bool:
    pairs = zip(row.cells, kinds, strict=False)
    return any(kind != "text" and kind_of(cell) == "text" for cell, kind in pairs)


def _is_of(row: TableRow, kinds: Sequence[str]) -> bool:
    pairs = zip(row.cells, kinds, strict=False)
    return any(kind != "text" and kind_of(cell) == kind for cell, kind in pairs)


def occurs_again(rows: Sequence[TableRow]) -> bool:
    first, below = rows[0], rows[1:MAX_JUDGED_ROWS]
    return any(
        cell.strip() and any(place < len(row.cells) and row.cells[place] == cell for row in below)
        for place, cell in enumerate(first.cells)
    )
