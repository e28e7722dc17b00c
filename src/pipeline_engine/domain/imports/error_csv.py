"""The error report of an import as a CSV file: corrected and uploaded again, it imports just those rows.

A spreadsheet would run a cell that looks like a formula, so such a cell gets a `'` before it. `restored` takes it away
again; a cell that began with `'` and looked like one to us gets a second one, so nothing is lost on the way.
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
    """The cell, with a `'` before it when a spreadsheet could take it for a formula. Plain negative numbers stay."""
    if FORMULA.match(cell) and not NEGATIVE_NUMBER.fullmatch(cell):
        return GUARD + cell
    return cell


def restored(cell: str) -> str:
    """The cell that `guarded` was given."""
    return cell[1:] if cell.startswith(GUARD) and FORMULA.match(cell) else cell


class ErrorCsv:
    """Writes the report line by line: the columns of the file as they were, then ours. UTF-8, every cell quoted."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)

    def header(self) -> bytes:
        return _line([*self._columns, *OWN_COLUMNS])

    def line(self, error: Mapping[str, Any]) -> bytes:
        """One row error, given as {row, line, column, code, message, cells}.

        A row with too few cells is filled up; of one with too many, the rest stands in the last column of the file,
        with the commas that brought them about.
        """
        own = ["" if error[field] is None else str(error[field]) for field in OWN_FIELDS]
        return _line([*self._fitted(error["cells"]), *own])

    def _fitted(self, cells: Sequence[str]) -> list[str]:
        width = len(self._columns)
        if len(cells) <= width:
            return [*cells, *[""] * (width - len(cells))]
        return [*cells[: width - 1], ",".join(cells[width - 1 :])]


def _line(cells: Sequence[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(map(guarded, cells))
    return out.getvalue().encode(errors="replace")
