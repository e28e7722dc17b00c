"""Rows of a corrected error CSV: each keeps the number that it had in the file of the first import (`_row`). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.error_csv import OWN_COLUMNS
from pipeline_engine.domain.imports.csv.row import Row, RowError
from pipeline_engine.domain.imports.refusal import ImportRefused, quoted

ROW_COLUMN = OWN_COLUMNS[0]
CODE = "retry_row"
MAX_ROW = 2**32 - 1
MAX_SHOWN_CHARS = 80


class Numbered(NamedTuple):
    """Rows and errors under the numbers of the first import; `positions` is {number: position in this file}."""

    rows: list[Row]
    errors: list[RowError]
    positions: dict[int, int]


def row_place(columns: Sequence[str]) -> int:
    """Return the place of the column `_row`. Raises: ImportRefused `retry_of` when the file has none."""
    names = [column.strip() for column in columns]
    if ROW_COLUMN not in names:
        raise ImportRefused(
            f"retry_of needs the column {ROW_COLUMN!r}, which says which rows these are, and the file has none: upload "
            f"the error CSV of that import with its cells corrected and its columns kept",
            "retry_of",
        )
    return names.index(ROW_COLUMN)


def renumber(rows: Sequence[Row], errors: Sequence[RowError], place: int) -> Numbered:
    """Return the rows of one chunk under the numbers in column `place`.

    A row without a number there, or with the number of a row above it, becomes a row error under its own position.
    """
    found = Numbered([], [], {})
    for row in rows:
        number = _number(row.cells, place)
        if number is None or number in found.positions:
            found.errors.append(_error(row, number, place))
            continue
        found.positions[number] = row.row
        found.rows.append(row._replace(row=number))
    found.errors.extend(error._replace(row=_number(error.cells, place) or error.row) for error in errors)
    return found


def twice(row: Row, position: int) -> RowError:
    """Return the error of a row whose number another row of the file has as well."""
    why = f"{ROW_COLUMN} is {row.row}, as in another row: each row of the first import can be corrected once"
    return RowError(position, row.line, ROW_COLUMN, CODE, why, row.cells)


def _error(row: Row, number: int | None, place: int) -> RowError:
    if number is not None:
        return twice(row._replace(row=number), row.row)
    shown = quoted(row.cells[place][:MAX_SHOWN_CHARS])
    why = f"{ROW_COLUMN} is {shown}; it must be the number of the row in the file of the first import"
    return RowError(row.row, row.line, ROW_COLUMN, CODE, why, row.cells)


def _number(cells: Sequence[str], place: int) -> int | None:
    text = cells[place].strip() if place < len(cells) else ""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ROW)) else 0
    return number if 0 < number <= MAX_ROW else None
