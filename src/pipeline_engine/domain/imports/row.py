"""The two things that a record of the file can become."""

from __future__ import annotations

from typing import Any, NamedTuple


class Row(NamedTuple):
    """A good row. `row` 1 is the first data row, `line` the physical line on which it begins, `cells` its own text.

    `fields` are those of the deal but for its stage; `stage` is the stage's name, '' when no column is mapped to it.
    """

    row: int
    line: int
    fields: dict[str, Any]
    stage: str
    cells: list[str]


class RowError(NamedTuple):
    """A row that becomes no deal. `column` is the file's name of the guilty one, `cells` the row as far as readable.

    `code` is too_large, unclosed, nul, encoding, field_too_large, ragged, required or too_long.
    """

    row: int
    line: int
    column: str | None
    code: str
    message: str
    cells: list[str]
