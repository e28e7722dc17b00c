"""Reads a file by its detected dialect with `csv.reader`, simply: what the detection is scored with.

To score the engine's own cutter and parser instead, write a `Reader` that gives the cells of `parse`'s rows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from pipeline_engine.domain.imports.csv.dialect import Dialect, detect
from pipeline_engine.domain.imports.csv.header import find_header
from tests.support.polluted.score import Names, Rows

STAND_IN = "\ue000"
"""For a delimiter of several characters, which `csv.reader` does not know."""


def read_polluted(data: bytes, mapped_names: Sequence[str]) -> tuple[Names, Rows]:
    """Return names and rows; blank rows are left out, short ones filled up, empty columns without a name cut."""
    dialect = detect(data, {}, mapped_names, whole=True)
    header = find_header(data, dialect, whole=True)
    assert header is not None
    text = data[header.start :].decode(dialect.encoding, errors="replace")
    rows = [row for row in _rows(_table(text, header.line, dialect), dialect) if any(cell.strip() for cell in row)]
    names = list(header.columns)
    while (
        len(names) > 1
        and not (names[-1].strip() and dialect.header_row)
        and not any(cell.strip() for row in rows for cell in row[len(names) - 1 :])
    ):
        names.pop()
    return names, [_fitted(row, len(names)) for row in rows]


def _table(text: str, line: int, dialect: Dialect) -> str:
    if not dialect.end_line:
        return text
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(lines[: max(0, dialect.end_line - line + 1)])


def _rows(text: str, dialect: Dialect) -> list[list[str]]:
    if len(dialect.delimiter) > 1:
        text = text.replace(dialect.delimiter, STAND_IN)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=STAND_IN if len(dialect.delimiter) > 1 else dialect.delimiter or STAND_IN,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        doublequote=True,
        escapechar="\\" if dialect.escape == "backslash" else None,
    )
    return [[cell.replace(STAND_IN, dialect.delimiter) for cell in row] for row in reader]


def _fitted(row: list[str], width: int) -> list[str]:
    while len(row) > width and not row[-1].strip():
        row.pop()
    return row + [""] * (width - len(row))
