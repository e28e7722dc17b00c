"""What one record of the file becomes: a row with the fields of a deal, or a row error."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from pipeline_engine.domain.imports.csv.mapping import MAX_COLUMNS, REQUIRED, ColumnMap
from pipeline_engine.domain.imports.csv.values import MAX_STAGE_CHARS, NORMALIZERS, StageCase, stage_name


class Row(NamedTuple):
    """A good row. `row` 1 is the first data row, `line` the physical line on which it begins, `cells` its own text.

    `fields` are those of the deal except its stage; `stage` is the stage's name, '' when no column is mapped to it.
    """

    row: int
    line: int
    fields: dict[str, Any]
    stage: str
    cells: list[str]


class RowError(NamedTuple):
    """A row that becomes no deal. `column` is the file's name of the guilty one, `cells` the row as far as readable.

    `code` is too_large, unclosed, nul, encoding, field_too_large, ragged, required, too_long or insert_failed.
    """

    row: int
    line: int
    column: str | None
    code: str
    message: str
    cells: list[str]


class RowMapper:
    """Maps the cells of each row of one import to the fields of a deal."""

    def __init__(self, columns: ColumnMap, case: StageCase = "lower") -> None:
        self._columns = columns.columns
        self._missing = [""] if columns.missing else []
        self._fields = list(columns.fields.items())
        self._custom = list(columns.custom.items())
        self._normalizers = [(target, NORMALIZERS[target]) for target in columns.fields if target in NORMALIZERS]
        self._required = [target for target in REQUIRED if target in columns.fields]
        self._places = columns.fields
        # A file has few stages and many rows.
        self._stage_name = lru_cache(maxsize=1024)(lambda cell: stage_name(cell, case))

    def map(self, row: int, line: int, cells: list[str]) -> Row | RowError:
        """Return the row with its fields, or the error that keeps it from becoming a deal."""
        if len(cells) != len(self._columns):
            message = f"cells in the row: {len(cells)}, columns in the file: {len(self._columns)}; check its quotes"
            return RowError(row, line, None, "ragged", message, cells[:MAX_COLUMNS])
        full = cells + self._missing
        fields: dict[str, Any] = {target: full[place].strip() for target, place in self._fields}
        for target in self._required:
            if not fields[target]:
                return self._error(row, line, target, "required", "the cell is empty but the field is needed", cells)
        stage = fields.pop("stage_id", "")
        if len(stage) > MAX_STAGE_CHARS:
            message = f"the name of a stage has at most {MAX_STAGE_CHARS} characters, not {len(stage)}"
            return self._error(row, line, "stage_id", "too_long", message, cells)
        for target, normalize in self._normalizers:
            fields[target] = normalize(fields[target])
        fields["additional_info"] = {target: full[place].strip() for target, place in self._custom}
        return Row(row, line, fields, self._stage_name(stage), cells)

    def _error(self, row: int, line: int, target: str, code: str, message: str, cells: list[str]) -> RowError:
        return RowError(row, line, self._columns[self._places[target]], code, message, cells)
