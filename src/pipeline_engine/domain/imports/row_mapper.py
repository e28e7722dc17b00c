"""From the cells of a row to the fields of a deal."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pipeline_engine.domain.imports.mapping import MOST_COLUMNS, NEEDED, ColumnMap
from pipeline_engine.domain.imports.row import Row, RowError
from pipeline_engine.domain.imports.values import LONGEST_STAGE, NORMAL, StageCase, stage_name


class RowMapper:
    """Maps the rows of one import."""

    def __init__(self, columns: ColumnMap, case: StageCase = "lower") -> None:
        self._columns = columns.columns
        self._behind = [""] if columns.missing else []
        self._fields = list(columns.fields.items())
        self._custom = list(columns.custom.items())
        self._normal = [(target, NORMAL[target]) for target in columns.fields if target in NORMAL]
        self._needed = [target for target in NEEDED if target in columns.fields]
        self._places = columns.fields
        # A file has few stages and many rows.
        self._stage_name = lru_cache(maxsize=1024)(lambda cell: stage_name(cell, case))

    def map(self, row: int, line: int, cells: list[str]) -> Row | RowError:
        """The row as fields, or why it becomes no deal."""
        if len(cells) != len(self._columns):
            message = f"the row has {len(cells)} cells but the file {len(self._columns)} columns"
            return RowError(row, line, None, "ragged", message, cells[:MOST_COLUMNS])
        full = cells + self._behind
        fields: dict[str, Any] = {target: full[place].strip() for target, place in self._fields}
        for target in self._needed:
            if not fields[target]:
                return self._wrong(row, line, target, "required", "the cell is empty but the field is needed", cells)
        stage = fields.pop("stage_id", "")
        if len(stage) > LONGEST_STAGE:
            message = f"the name of a stage has at most {LONGEST_STAGE} characters, not {len(stage)}"
            return self._wrong(row, line, "stage_id", "too_long", message, cells)
        for target, normal in self._normal:
            fields[target] = normal(fields[target])
        fields["additional_info"] = {target: full[place].strip() for target, place in self._custom}
        return Row(row, line, fields, self._stage_name(stage), cells)

    def _wrong(self, row: int, line: int, target: str, code: str, message: str, cells: list[str]) -> RowError:
        return RowError(row, line, self._columns[self._places[target]], code, message, cells)
