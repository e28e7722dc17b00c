"""Finds the table in the rows of a sample: what stands before it, its header, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.table_footer import count_footer_rows
from pipeline_engine.domain.imports.csv.table_header import (
    column_kinds,
    count_header_rows,
    find_named_header,
    is_full,
    looks_like_header,
)
from pipeline_engine.domain.imports.csv.table_reader import TableRow
from pipeline_engine.domain.imports.csv.table_score import table_width

MIN_TABLE_ROWS = 3
"""A run of rows of another width is a table of its own when it has so many, or two behind a blank row."""
MIN_SHARE_OF_LARGEST = 0.25
"""The first table is taken unless it has fewer rows than this share of the largest: then it is a preamble."""


class Layout(NamedTuple):
    """Physical lines from 1. `header_row` 0 = no header; `end_line` 0 = the table goes on to the end of the file."""

    line: int
    header_row: int
    header_rows: int
    end_line: int
    skipped: tuple[str, ...]


class TablePart(NamedTuple):
    """The rows `start` to `end` - 1 of the sample: one table, or what may be one."""

    start: int
    end: int
    width: int

    @property
    def size(self) -> int:
        return self.end - self.start


def lay_out(
    rows: Sequence[TableRow], wanted: frozenset[str], *, has_header: bool | None, numbered: bool, whole: bool
) -> Layout:
    """Return where the table stands among the rows of a sample (`whole`: the sample is the whole file).

    `wanted` are the names of columns that are mapped, `numbered` says that columns are mapped by their numbers.
    """
    parts = split_tables(rows)
    starts = dict.fromkeys([*range(min(60, len(rows))), *(part.start for part in parts)])
    named = find_named_header(rows, starts, wanted) if has_header is not False else None
    if named:
        part = next((part for part in parts if part.start <= named.at < part.end), None)
        part = part or next((part for part in parts if part.start > named.at), TablePart(0, len(rows), 1))
        start, header_rows = named.at, named.rows
    else:
        part = _main(parts)
        start, header_rows = _unnamed(rows, part, wanted, has_header=has_header, numbered=numbered)
    after = [other for other in parts if other.start >= part.end]
    return _layout(rows, part, start, header_rows, after, whole=whole)


def _main(parts: Sequence[TablePart]) -> TablePart:
    """The first part that is no preamble beside the largest."""
    largest = max(part.size for part in parts)
    return next(part for part in parts if part.size >= MIN_SHARE_OF_LARGEST * largest)


def _unnamed(
    rows: Sequence[TableRow], part: TablePart, wanted: frozenset[str], *, has_header: bool | None, numbered: bool
) -> tuple[int, int]:
    """Where the table starts, and how many rows its header has, when no name says so."""
    places = [place for place in range(part.start, part.end) if not rows[place].is_blank]
    if has_header is not False:
        fullest = max(sum(bool(cell.strip()) for cell in rows[place].cells) for place in places)
        places = places[next(n for n, place in enumerate(places) if is_full(rows[place], fullest)) :]
    table = [rows[place] for place in places]
    if has_header is False:
        return places[0], 0
    found = count_header_rows(table, part.width)
    if numbered and not (found and looks_like_header(table[0], column_kinds(table[1:], part.width))):
        found = 0
    # Names that are mapped need a header, whatever it looks like: the refusal then says which names were found.
    return places[0], max(found, int(has_header is True or bool(wanted)))


def _layout(
    rows: Sequence[TableRow], part: TablePart, start: int, header_rows: int, after: Sequence[TablePart], *, whole: bool
) -> Layout:
    line = rows[start].line
    end = after[0].start if after else len(rows)
    first = start + max(1, header_rows)
    footer = _footer_rows(rows[first:end], part.width) if whole or after else 0
    last = next(row for row in reversed(rows[: end - footer]) if not row.is_blank)
    has_more = footer or after
    end_line = last.line + last.lines - 1 if has_more else 0
    skipped = []
    before = [row for row in rows[:start] if not row.is_blank]
    if before:
        skipped.append(_report(before, "before the header" if header_rows else "before the table"))
    if footer:
        skipped.append(_report([row for row in rows[end - footer : end] if not row.is_blank], "after the table"))
    skipped += [_report(rows[other.start : other.end], "another table") for other in after]
    return Layout(line, line if header_rows else 0, header_rows, end_line, tuple(skipped))


def _footer_rows(rows: Sequence[TableRow], width: int) -> int:
    """How many of the rows below a header are no rows of its table; never all of them."""
    footer = count_footer_rows(rows, width)
    return 0 if all(row.is_blank for row in rows[: len(rows) - footer]) else footer


def _report(rows: Sequence[TableRow], what: str) -> str:
    first, last = rows[0].line, rows[-1].line + rows[-1].lines - 1
    lines = f"line {first}" if first == last else f"lines {first}-{last}"
    return f"{lines} {what}"


def split_tables(rows: Sequence[TableRow]) -> list[TablePart]:
    """Return the tables among the rows of a sample, at least one; single rows of other widths belong to no new one."""
    runs = _runs(rows)
    parts: list[TablePart] = []
    for run in runs:
        if run.width < 2:
            continue
        if parts and _is_header_of(rows, parts[-1], run):
            parts[-1] = TablePart(parts[-1].start, run.end, run.width)
        elif not parts or _starts_table(rows, parts[-1], run):
            parts.append(run)
        elif run.width == parts[-1].width:
            parts[-1] = parts[-1]._replace(end=run.end)
    width = table_width(rows)
    return parts or [TablePart(0, len(rows), width)]


def _runs(rows: Sequence[TableRow]) -> list[TablePart]:
    """Rows of one width in a row; a blank row ends a run."""
    runs: list[TablePart] = []
    open_run = False
    for place, row in enumerate(rows):
        if row.is_blank:
            open_run = False
        elif open_run and runs[-1].width == len(row.cells):
            runs[-1] = runs[-1]._replace(end=place + 1)
        else:
            runs.append(TablePart(place, place + 1, len(row.cells)))
            open_run = True
    return runs


def _is_header_of(rows: Sequence[TableRow], before: TablePart, run: TablePart) -> bool:
    """Whether one row of another width right above the run may be its header."""
    narrow, wide = sorted((before.width, run.width))
    return before.size == 1 and before.end == run.start and narrow < wide <= 2 * narrow and run.size > 1


def _starts_table(rows: Sequence[TableRow], before: TablePart, run: TablePart) -> bool:
    """Whether the run, which follows on a table, is another one."""
    behind_blank = rows[run.start - 1].is_blank
    first = rows[run.start]
    if run.width == before.width:
        kinds = column_kinds(rows[before.start + 1 : before.end], before.width)
        return behind_blank and run.size > 1 and looks_like_header(first, kinds)
    if before.size < MIN_TABLE_ROWS and run.size > before.size:
        return True
    if run.size < (2 if behind_blank else MIN_TABLE_ROWS):
        return False
    kinds = column_kinds(rows[run.start + 1 : run.end], run.width)
    return looks_like_header(first, kinds) or behind_blank
