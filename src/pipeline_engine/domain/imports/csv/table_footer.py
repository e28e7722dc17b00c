# ruff: noqa: RUF001
"""Tells the rows behind a table, such as totals and notes, from rows of the table.

A row in which the mapped columns are filled as they usually are is one of the table, whatever it says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from itertools import takewhile

from pipeline_engine.domain.imports.csv.column_name import column_name
from pipeline_engine.domain.imports.csv.table_cells import kind_of
from pipeline_engine.domain.imports.csv.table_reader import TableRow
from pipeline_engine.domain.imports.csv.values.cell import NotAValue
from pipeline_engine.domain.imports.csv.values.number import Mark, read_number

TOTALS = re.compile(
    "total|totals|grand total|sub total|subtotal|sum|summe|gesamt|gesamtsumme|zwischensumme|endsumme|"
    "insgesamt|total général|sous-total|somme|montant total|totale|totale generale|somma|importe total|"
    "suma|suma total|total geral|soma|totaal|totalt|i alt|yhteensä|celkem|součet|spolu|súčet|razem|"
    "suma końcowa|łącznie|összesen|ukupno|skupaj|genel toplam|toplam|итого|всего|сумма|разом|усього|"
    "σύνολο|合計|総計|小計|总计|合计|小计|總計|합계|총계|소계"
)
"""What a row of totals begins with, in the languages that exports are written in."""
MIN_NOTE_WORDS = 3
NOTE_MARK = re.compile(r"[:：]|^\s*[*#(\[—-]")
"""What one of the lines right below a table has when they are notes."""
CJK = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]")
MIN_USUAL_SHARE = 0.9
"""A column that is filled in so many rows is filled in every row."""
MARKS: tuple[Mark, ...] = (".", ",")


def count_footer_rows(rows: Sequence[TableRow], width: int, mapped: Collection[int]) -> int:
    """Return how many of the last rows of a file, given with its blank ones, stand behind its table of this width.

    `mapped` are the places of the columns that are imported.
    """
    certain = _count_certain(rows, width)
    table, behind = _Table(rows[:certain], width, mapped), rows[certain:]
    are_notes = any(map(_is_marked, takewhile(lambda row: not row.is_blank, behind)))
    kept, behind_blank = 0, False
    for number, row in enumerate(behind, 1):
        behind_blank = behind_blank or row.is_blank
        if not row.is_blank and table.has(row, behind_blank=behind_blank, are_notes=are_notes):
            kept = number
    return len(behind) - next((n for n, row in enumerate(behind[kept:], kept) if not row.is_blank), len(behind))


def _count_certain(rows: Sequence[TableRow], width: int) -> int:
    """How many of the rows are rows of the table for certain."""
    count = len(rows)
    while count and (rows[count - 1].is_blank or _may_be_footer(rows[count - 1], width)):
        count -= 1
    # A note right below a table has no delimiter.
    below = takewhile(lambda row: len(row.cells) > 1 and not row.is_blank and not _is_total(row, width), rows[count:])
    return count + sum(1 for _ in below)


class _Table:
    """The rows that are certain, by which those below them are judged."""

    def __init__(self, rows: Sequence[TableRow], width: int, mapped: Collection[int]) -> None:
        self._rows = [row.cells for row in rows if not row.is_blank]
        self._width = width
        enough = MIN_USUAL_SHARE * len(self._rows)
        self._usual = [place for place in mapped if self._rows and sum(map(bool, self._column(place))) >= enough]
        self._sums: dict[tuple[int, Mark], float] = {}

    def _column(self, place: int) -> list[str]:
        return [cells[place].strip() if place < len(cells) else "" for cells in self._rows]

    def has(self, row: TableRow, *, behind_blank: bool, are_notes: bool) -> bool:
        """Whether the row, which looks like a footer, is one of the table. `are_notes`: single cells are none."""
        is_line = len(row.cells) == 1 < self._width
        if is_line and behind_blank:
            return False
        if self._usual and all(place < len(row.cells) and row.cells[place].strip() for place in self._usual):
            return not (_is_total(row, self._width) and self._is_sum(row))
        if _is_total(row, self._width):
            return False
        if is_line and self._width > 2:
            return not are_notes
        return not (behind_blank and _is_sentence(row))

    def _is_sum(self, total: TableRow) -> bool:
        """Whether a number of the row is the sum of those above it."""
        numbers = [
            (_number(cell, mark), self._sum(place, mark))
            for place, cell in enumerate(total.cells)
            if kind_of(cell) == "number"
            for mark in MARKS
        ]
        return any(number is not None and math.isclose(number, known, abs_tol=0.005) for number, known in numbers)

    def _sum(self, place: int, mark: Mark) -> float:
        if (place, mark) not in self._sums:
            self._sums[place, mark] = math.fsum(_number(cell, mark) or 0 for cell in self._column(place))
        return self._sums[place, mark]


def _number(cell: str, mark: Mark) -> float | None:
    try:
        return read_number(cell, mark)
    except NotAValue:
        return None


def _may_be_footer(row: TableRow, width: int) -> bool:
    filled = [cell for cell in row.cells if cell.strip()]
    return _is_total(row, width) or (width > 1 and len(filled) == 1 and kind_of(filled[0]) == "text")


def _is_total(row: TableRow, width: int) -> bool:
    filled = [cell for cell in row.cells if cell.strip()]
    word = re.sub(r"[:：]|\(.*\)|\d+$", "", column_name(filled[0]).casefold()).strip()
    numbers = [cell for cell in filled[1:] if kind_of(cell) == "number"]
    return TOTALS.fullmatch(word) is not None and bool(numbers or len(filled) == 1) and len(filled) < max(2, width)


def _is_marked(row: TableRow) -> bool:
    return len(row.cells) == 1 and NOTE_MARK.search(row.cells[0]) is not None


def _is_sentence(row: TableRow) -> bool:
    text = "".join(row.cells).strip()
    return ":" in text or len(text.split()) >= MIN_NOTE_WORDS or CJK.search(text) is not None
