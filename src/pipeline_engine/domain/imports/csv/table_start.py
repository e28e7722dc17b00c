"""Finds where a table begins: by the names that the import wants, else by what the rows of the sample hold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.column_name import column_name
from pipeline_engine.domain.imports.csv.table_header import (
    column_kinds,
    count_header_rows,
    find_named_header,
    is_full,
    joined_names,
    looks_like_header,
    wanted_names,
)
from pipeline_engine.domain.imports.csv.table_reader import TableRow
from pipeline_engine.domain.imports.csv.table_runs import Run, find_runs
from pipeline_engine.domain.imports.csv.table_score import table_width

MAX_PLACES = 60
"""Each of so many first rows may be the named header; further down, those that begin a run of rows of one width."""
MIN_TABLE_ROWS = 3
"""A run of rows of another width is a table of its own when it has so many, or two behind a blank row."""
MIN_SHARE_OF_LARGEST = 0.25
"""The first table is taken unless it has fewer rows than this share of the largest: then it is a preamble."""


class Start(NamedTuple):
    """The place of the first row of a table, header included, how many rows its header has, and how many cells."""

    at: int
    header_rows: int
    width: int


def find_start(rows: Sequence[TableRow], names: Sequence[str], *, has_header: bool | None) -> Start:
    """Return where the table starts among the rows of a sample; `names` are those of the mapped columns."""
    wanted = wanted_names(names)
    if has_header is not False:
        places = dict.fromkeys([*range(min(MAX_PLACES, len(rows))), *(run.start for run in find_runs(rows))])
        if named := find_named_header(rows, places, wanted):
            header = rows[named.at : named.at + named.rows]
            return Start(named.at, named.rows, max(len(row.cells) for row in header))
    numbers: frozenset[str] = frozenset() if wanted else frozenset(map(column_name, names))
    return _unnamed(rows, bool(wanted), numbers, has_header=has_header)


def _unnamed(rows: Sequence[TableRow], is_named: bool, numbers: frozenset[str], *, has_header: bool | None) -> Start:
    """The start when no name says it; `is_named`: columns are mapped by names, else by `numbers`, or none is."""
    part = _main(split_tables(rows))
    places = [place for place in range(part.start, part.end) if not rows[place].is_blank]
    if has_header is False:
        return Start(places[0], 0, part.width)
    fullest = max(sum(bool(cell.strip()) for cell in rows[place].cells) for place in places)
    places = places[next(n for n, place in enumerate(places) if is_full(rows[place], fullest)) :]
    table = [rows[place] for place in places]
    found = count_header_rows(table, part.width)
    if numbers:
        is_header = found and looks_like_header(table[0], column_kinds(table[1:], part.width))
        found = found if is_header and _calls_by_number(joined_names(table[:found]), numbers) else 0
    # Names that are mapped need a header, whatever it looks like: the refusal then says which names were found.
    return Start(places[0], max(found, int(has_header is True or is_named)), part.width)


def _calls_by_number(header: Sequence[str], numbers: Collection[str]) -> bool:
    """Whether one of the numbers is that of a column without a name."""
    return any(str(number) in numbers for number, name in enumerate(header, 1) if not column_name(name))


def _main(parts: Sequence[Run]) -> Run:
    """The first part that is no preamble beside the largest."""
    largest = max(part.size for part in parts)
    return next(part for part in parts if part.size >= MIN_SHARE_OF_LARGEST * largest)


def split_tables(rows: Sequence[TableRow]) -> list[Run]:
    """Return the tables among the rows of a sample, at least one; single rows of other widths belong to no new one."""
    parts: list[Run] = []
    for run in find_runs(rows):
        if run.width < 2:
            continue
        if parts and _is_header_of(parts[-1], run):
            parts[-1] = Run(parts[-1].start, run.end, run.width)
        elif not parts or _starts_table(rows, parts[-1], run):
            parts.append(run)
        elif run.width == parts[-1].width:
            parts[-1] = parts[-1]._replace(end=run.end)
    return parts or [Run(0, len(rows), table_width(rows))]


def _is_header_of(before: Run, run: Run) -> bool:
    """Whether one row of another width right above the run may be its header."""
    narrow, wide = sorted((before.width, run.width))
    return before.size == 1 and before.end == run.start and narrow < wide <= 2 * narrow and run.size > 1


def _starts_table(rows: Sequence[TableRow], before: Run, run: Run) -> bool:
    """Whether the run, which follows on a table, is another one."""
    behind_blank = rows[run.start - 1].is_blank
    if run.width == before.width:
        return False
    if before.size < MIN_TABLE_ROWS and run.size > before.size:
        return behind_blank or 2 * before.width <= run.width
    if run.size < (2 if behind_blank else MIN_TABLE_ROWS):
        return False
    kinds = column_kinds(rows[run.start + 1 : run.end], run.width)
    return behind_blank or looks_like_header(rows[run.start], kinds)
