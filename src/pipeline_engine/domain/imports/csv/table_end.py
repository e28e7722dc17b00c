"""Finds where a table ends because another one begins.

What is taken for another table is not imported. So rows that are only odd, short or long ones among them, stay rows of
the table, and become row errors: nothing but a header of its own is evidence for another table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pipeline_engine.domain.imports.csv.column_name import column_name
from pipeline_engine.domain.imports.csv.table_cells import kind_of
from pipeline_engine.domain.imports.csv.table_header import (
    MAX_JUDGED_ROWS,
    column_kinds,
    joined_names,
    looks_like_header,
    occurs_again,
)
from pipeline_engine.domain.imports.csv.table_reader import TableRow
from pipeline_engine.domain.imports.csv.table_runs import find_runs

MIN_TABLE_ROWS = 3
"""So many rows another table has, its header among them; two are enough when it has another width and stands behind a
blank row."""


def find_other_table(rows: Sequence[TableRow], header: Sequence[TableRow]) -> int | None:
    """Return the place among the rows below a header, which may have no row, where another table begins."""
    runs = [run for run in find_runs(rows) if run.width > 1]
    last = {run.width: run.start for run in runs}
    table = _Table(header)
    for run in runs:
        part = rows[run.start : run.end]
        behind_blank = run.start > 0 and rows[run.start - 1].is_blank
        goes_on = any(last.get(width, 0) > run.start for width in table.widths if width != run.width)
        if table.widths and not goes_on and _is_other(table, part, behind_blank=behind_blank):
            return run.start
        table.add(part)
    return None


class _Table:
    """What is known of a table by its first rows."""

    def __init__(self, header: Sequence[TableRow]) -> None:
        self.names = _names(joined_names(header))
        self.cells: set[str] = set()
        self.typed: list[int] = []
        """The places of columns that hold something else than text."""
        self._judged: list[TableRow] = []
        self._widths = Counter(len(row.cells) for row in header)

    @property
    def widths(self) -> set[int]:
        """The width of the header and that of most rows; none before the first row."""
        return {next(iter(self._widths)), max(self._widths, key=self._widths.__getitem__)} if self._widths else set()

    def add(self, rows: Sequence[TableRow]) -> None:
        self._widths[len(rows[0].cells)] += len(rows)
        self.cells |= _names(cell for row in rows for cell in row.cells)
        if (missing := MAX_JUDGED_ROWS - len(self._judged)) > 0:
            self._judged += rows[:missing]
            kinds = column_kinds(self._judged, max(self._widths))
            self.typed = [place for place, kind in enumerate(kinds) if kind != "text"]


def _is_other(table: _Table, rows: Sequence[TableRow], *, behind_blank: bool) -> bool:
    """Whether the rows, all of one width, are another table than the one above them."""
    first, below = rows[0], rows[1:]
    has_its_width = len(first.cells) in table.widths
    if len(rows) < (2 if behind_blank and not has_its_width else MIN_TABLE_ROWS):
        return False
    kinds = column_kinds(below, len(first.cells))
    if not looks_like_header(first, kinds) or occurs_again(rows) or not _has_names_of_its_own(table, first):
        return False
    return not has_its_width or (behind_blank and any(_is_text(below, place) for place in table.typed))


def _has_names_of_its_own(table: _Table, row: TableRow) -> bool:
    """Whether all cells, empty ones at the end aside, are names: no values of the table, and not its own header."""
    filled = max(place for place, cell in enumerate(row.cells, 1) if cell.strip())
    names = _names(row.cells)
    repeated = len(names & table.names)
    return filled == len(names) > 1 and not names & table.cells and 2 * repeated <= min(len(names), len(table.names))


def _is_text(rows: Sequence[TableRow], place: int) -> bool:
    """Whether the column holds text and nothing else."""
    kinds = {kind_of(row.cells[place]) for row in rows[:MAX_JUDGED_ROWS] if place < len(row.cells)}
    return kinds - {"empty"} == {"text"}


def _names(cells: Iterable[str]) -> set[str]:
    """The cells that hold something, as names are compared."""
    return {name for cell in cells if (name := column_name(cell).casefold())}
