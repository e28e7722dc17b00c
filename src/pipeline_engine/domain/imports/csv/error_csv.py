"""The error report of an import as a CSV file: corrected and uploaded again, it imports just those rows.

A spreadsheet runs a cell that looks like a formula, so `guarded` puts a `'` before such a cell and `restored` takes it
away again. A cell that has a `'` of its own before a formula gets a second one, so every cell survives the round trip.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

OWN_COLUMNS = ("_row", "_line", "_column", "_code", "_message")
OWN_FIELDS = ("row", "line", "column", "code", "message")
# What Excel, LibreOffice or Sheets may take for the beginning of a formula: also in full width (the four escapes), and
# with blanks or earlier guards before it.
FORMULA = re.compile(r"['\s\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[' ]*[\t\r\n\0]")
NEGATIVE_NUMBER = re.compile(r"-[0-9]+(?:[.,][0-9]+)*")
GUARD = "'"


def guarded(cell: str) -> str:
    """Return the cell, with a `'` before what a spreadsheet could take for a formula. Plain negative numbers stay."""
    if FORMULA.match(cell) and not NEGATIVE_NUMBER.fullmatch(cell):
        return GUARD + cell
    return cell


def restored(cell: str) -> str:
    """Return the cell that `guarded` was given."""
    return cell[1:] if cell.startswith(GUARD) and FORMULA.match(cell) else cell


def is_report(columns: Sequence[str]) -> bool:
    """Return whether a file of these columns is an error CSV, corrected or not; a spreadsheet may have moved some."""
    return set(OWN_COLUMNS) <= {column.strip() for column in columns}


def begins_report(head: bytes) -> bool:
    """Return whether a line of bytes that begin a file names the columns of an error CSV, in whatever encoding."""
    lines = head.replace(b"\0", b"").splitlines()
    return any(all(name.encode() in line for name in OWN_COLUMNS) for line in lines)


def unguarded(columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns as the imported file had them, if they are those of an error CSV."""
    return tuple(map(restored, columns)) if is_report(columns) else tuple(columns)


class ErrorCsv:
    """Formats the report: the columns of the file as they were, then `OWN_COLUMNS`. UTF-8, all cells quoted.

    `delimiter` is that of the file.
    """

    def __init__(self, columns: Sequence[str], delimiter: str = ",") -> None:
        self._columns = list(columns)
        self._delimiter = delimiter

    def header(self) -> bytes:
        return _line([*self._columns, *OWN_COLUMNS])

    def line(self, error: Mapping[str, Any]) -> bytes:
        """Return the line of one row error, given as {row, line, column, code, message, cells}.

        A row with too few cells is filled up; in a row with too many, the last column of the file holds the rest,
        joined as they stood in the file.
        """
        own = ["" if error[field] is None else str(error[field]) for field in OWN_FIELDS]
        return _line([*self._fit(error["cells"]), *own])

    def _fit(self, cells: Sequence[str]) -> list[str]:
        width = len(self._columns)
        if len(cells) <= width:
            return [*cells, *[""] * (width - len(cells))]
        return [*cells[: width - 1], self._delimiter.join(cells[width - 1 :])]


def _line(cells: Sequence[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(map(guarded, cells))
    return out.getvalue().encode(errors="replace")
