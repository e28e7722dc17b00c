"""Finds the table in the rows of a sample: what stands before it, its header, and where it ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.column_name import column_name, column_names
from pipeline_engine.domain.imports.csv.table_end import find_other_table
from pipeline_engine.domain.imports.csv.table_footer import count_footer_rows
from pipeline_engine.domain.imports.csv.table_header import joined_names
from pipeline_engine.domain.imports.csv.table_reader import TableRow
from pipeline_engine.domain.imports.csv.table_start import Start, find_start
from pipeline_engine.domain.imports.csv.values.cell import shown

AFTER_TABLE = "after the table"
MAX_SHOWN_ROWS = 3
"""Rows of a footer whose text is kept."""


class Layout(NamedTuple):
    """Physical lines from 1. `header_row` 0 = no header; `end_line` 0 = the table goes on to the end of the file."""

    line: int
    header_row: int
    header_rows: int
    end_line: int
    skipped: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    """The first rows that were taken for totals and notes behind the table, shortened."""


def lay_out(rows: Sequence[TableRow], names: Sequence[str], *, has_header: bool | None, whole: bool) -> Layout:
    """Return where the table stands among the rows of a sample (`whole`: the sample is the whole file).

    `names` are those of the columns that are mapped.
    """
    start = find_start(rows, names, has_header=has_header)
    first = start.at + start.header_rows
    other = find_other_table(rows[first:], rows[start.at : first])
    end = len(rows) if other is None else first + other
    mapped = _mapped(rows[start.at : first], start.width, names)
    below = rows[max(first, start.at + 1) : end]
    footer = _footer_rows(below, start.width, mapped) if whole or end < len(rows) else 0
    last = next(row for row in reversed(rows[: end - footer]) if not row.is_blank)
    line = rows[start.at].line
    return Layout(
        line=line,
        header_row=line if start.header_rows else 0,
        header_rows=start.header_rows,
        end_line=_last_line(last) if footer or end < len(rows) else 0,
        skipped=(*_before(rows, start), *_after(rows, end - footer, end, whole=whole)),
        footer=tuple(map(_shown, _filled(rows[end - footer : end])[:MAX_SHOWN_ROWS])),
    )


def _mapped(header: Sequence[TableRow], width: int, names: Sequence[str]) -> set[int]:
    """The places of the mapped columns; of all columns when none is known to be mapped."""
    wanted = {column_name(name).casefold() for name in names}
    found = column_names(joined_names(header) or [""] * width)
    return {place for place, name in enumerate(found) if name.casefold() in wanted} or set(range(width))


def _footer_rows(rows: Sequence[TableRow], width: int, mapped: Collection[int]) -> int:
    """How many of the rows below a header are no rows of its table; never all of them."""
    footer = count_footer_rows(rows, width, mapped)
    return 0 if all(row.is_blank for row in rows[: len(rows) - footer]) else footer


def _before(rows: Sequence[TableRow], start: Start) -> list[str]:
    before = _filled(rows[: start.at])
    what = "before the header" if start.header_rows else "before the table"
    return [f"{_lines(before)} {what}"] if before else []


def _after(rows: Sequence[TableRow], footer: int, other: int, *, whole: bool) -> list[str]:
    """What stands behind a table whose footer begins at one place and is followed, at another, by another table."""
    after, another = _filled(rows[footer:other]), _filled(rows[other:])
    skipped = [f"{_lines(after)} {AFTER_TABLE}"] if after else []
    if another:
        lines = _lines(another) if whole else f"all from line {another[0].line} on,"
        skipped.append(f"{lines} another table")
    return skipped


def _filled(rows: Sequence[TableRow]) -> list[TableRow]:
    return [row for row in rows if not row.is_blank]


def _shown(row: TableRow) -> str:
    return shown(", ".join(cell.strip() for cell in row.cells if cell.strip()))


def _lines(rows: Sequence[TableRow]) -> str:
    first, last = rows[0].line, _last_line(rows[-1])
    return f"line {first}" if first == last else f"lines {first}-{last}"


def _last_line(row: TableRow) -> int:
    return row.line + row.lines - 1
