"""What one record of the file becomes: a row with the fields of a deal, or a row error."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from pipeline_engine.domain.imports.csv.columns import ValueRules
from pipeline_engine.domain.imports.csv.mapping import MAX_COLUMNS, REQUIRED, ColumnMap
from pipeline_engine.domain.imports.csv.values.cell import NotAValue, Noted, Reader, is_invisible, shown, unguarded
from pipeline_engine.domain.imports.csv.values.text import MAX_STAGE_CHARS, NORMALIZERS, StageCase, stage_name

BOM = "\ufeff"
NULL = r"\N"
"""How MySQL and PostgreSQL export it."""


class RowNote(NamedTuple):
    """What a good row's field does not hold of its cell. `code` is more_addresses or more_numbers."""

    column: str
    code: str
    value: str


class Row(NamedTuple):
    """A good row. `row` 1 is the first data row, `line` the physical line on which it begins, `cells` its own text.

    `fields` are those of the deal except its stage; `stage` is the stage's name, '' when no column is mapped to it.
    """

    row: int
    line: int
    fields: dict[str, Any]
    stage: str
    cells: list[str]
    notes: tuple[RowNote, ...] = ()


class RowError(NamedTuple):
    """A row that becomes no deal. `column` is the file's name of the guilty one, `cells` the row as far as readable.

    `code` is too_large, unclosed, doubtful, nul, encoding, field_too_large, ragged, required, too_long, insert_failed,
    or that of a `NotAValue`; then `value` is the guilty cell, cut to 80 characters.
    """

    row: int
    line: int
    column: str | None
    code: str
    message: str
    cells: list[str]
    value: str | None = None


class _Typed(NamedTuple):
    """A typed column: where its cell stands, how it is read, and whether an empty cell is an empty text."""

    target: str
    place: int
    read: Reader
    keeps_empty: bool
    is_custom: bool


class RowMapper:
    """Maps the cells of each row of one import to the fields of a deal."""

    def __init__(self, columns: ColumnMap, case: StageCase = "lower", rules: ValueRules | None = None) -> None:
        self._columns = columns.columns
        self._missing = [""] if columns.missing else []
        rules = rules or ValueRules()
        readers = rules.readers()
        self._typed = [
            _Typed(target, place, readers[target], rules.keeps_empty(target), target in columns.custom)
            for target, place in (columns.fields | columns.custom).items()
            if target in readers
        ]
        self._fields = [(target, place) for target, place in columns.fields.items() if target not in readers]
        self._custom = [(target, place) for target, place in columns.custom.items() if target not in readers]
        # A file has few stages and statuses and many rows.
        self._normalizers = [
            (target, lru_cache(maxsize=1024)(NORMALIZERS[target])) for target in columns.fields if target in NORMALIZERS
        ]
        self._stage_name = lru_cache(maxsize=1024)(lambda cell: stage_name(cell, case))
        self._required = [target for target in REQUIRED if target in columns.fields]
        self._places = columns.fields | columns.custom

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns as they stand in the file."""
        return self._columns

    @property
    def width(self) -> int:
        """The number of columns."""
        return len(self._columns)

    def map(self, row: int, line: int, cells: list[str]) -> Row | RowError:
        """Return the row with its fields, or the error that keeps it from becoming a deal."""
        cells = cells if len(cells) <= self.width else self._without_empty_end(cells)
        if len(cells) != self.width:
            return self._ragged(row, line, cells)
        full = _cleaned(cells) + self._missing
        fields: dict[str, Any] = {target: full[place].strip() for target, place in self._fields}
        for target in self._required:
            if (not (text := fields[target]) or not text.isascii()) and is_invisible(text):
                return self._error(row, line, target, "required", "the cell is empty but the field is needed", cells)
        stage = fields.pop("stage_id", "")
        if len(stage) > MAX_STAGE_CHARS:
            message = f"the name of a stage has at most {MAX_STAGE_CHARS} characters, not {len(stage)}"
            return self._error(row, line, "stage_id", "too_long", message, cells)
        for target, normalize in self._normalizers:
            fields[target] = normalize(fields[target])
        fields["additional_info"] = custom = {target: full[place].strip() for target, place in self._custom}
        if isinstance(notes := self._add_typed(row, line, cells, full, fields, custom), RowError):
            return notes
        return Row(row, line, fields, self._stage_name(stage), cells, notes)

    def _add_typed(
        self, row: int, line: int, cells: list[str], full: list[str], fields: dict[str, Any], custom: dict[str, Any]
    ) -> tuple[RowNote, ...] | RowError:
        """Put the values of the typed columns into `fields` and `custom`. Returns the notes, or the row's error."""
        notes: tuple[RowNote, ...] = ()
        for target, place, read, keeps_empty, is_custom in self._typed:
            cell = full[place].strip()
            value = None
            if cell:
                try:
                    value = read(cell)
                except NotAValue as refusal:
                    if not is_invisible(unguarded(cell)):
                        message = f"{shown(cell)!r} {refusal.reason}"
                        error = self._error(row, line, target, refusal.code, message, cells)
                        return error._replace(value=shown(cell))
                if value.__class__ is Noted:
                    notes += (RowNote(self._columns[place], value.code, shown(cell)),)
                    value = value.value
            if value is None:
                if not keeps_empty:
                    continue
                value = ""
            (custom if is_custom else fields)[target] = value
        return notes

    def _without_empty_end(self, cells: list[str]) -> list[str]:
        """The cells but for empty ones behind the last column."""
        filled = next((place for place in range(len(cells), self.width, -1) if cells[place - 1].strip()), self.width)
        return cells[:filled]

    def _ragged(self, row: int, line: int, cells: list[str]) -> RowError:
        short = len(cells) < self.width
        mend = "empty cells need their delimiters too" if short else "cells that hold a delimiter need quotes"
        message = f"cells in the row: {len(cells)}, columns in the file: {self.width}; {mend}"
        return RowError(row, line, None, "ragged", message, cells[:MAX_COLUMNS])

    def _error(self, row: int, line: int, target: str, code: str, message: str, cells: list[str]) -> RowError:
        return RowError(row, line, self._columns[self._places[target]], code, message, cells)


def _cleaned(cells: list[str]) -> list[str]:
    """The cells without the guards of spreadsheets, without the NULL of databases, and without the byte order mark of a
    file that was put behind another one."""
    text = "\n".join(cells)
    if NULL in text:
        cells = ["" if cell.strip() == NULL else cell for cell in cells]
    if BOM in text:
        cells = [cell.strip().removeprefix(BOM) for cell in cells]
    return [unguarded(cell.strip()) for cell in cells] if '="' in text else cells
