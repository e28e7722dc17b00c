# ruff: noqa: RUF001
"""Tells the rows behind a table, such as totals and notes, from rows of the table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline_engine.domain.imports.csv.column_name import column_name
from pipeline_engine.domain.imports.csv.table_cells import kind_of
from pipeline_engine.domain.imports.csv.table_reader import TableRow

TOTALS = re.compile(
    "total|totals|grand total|sub total|subtotal|sum|summe|gesamt|gesamtsumme|zwischensumme|endsumme|"
    "insgesamt|total général|sous-total|somme|montant total|totale|totale generale|somma|importe total|"
    "suma|suma total|total geral|soma|totaal|totalt|i alt|yhteensä|celkem|součet|spolu|súčet|razem|"
    "suma końcowa|łącznie|összesen|ukupno|skupaj|genel toplam|toplam|итого|всего|сумма|разом|усього|"
    "σύνολο|合計|総計|小計|总计|合计|小计|總計|합계|총계|소계"
)
"""What a row of totals begins with, in the languages that exports are written in."""
MIN_NOTE_WORDS = 3
NOTE = re.compile(r"[:：]|\w\s+\w|^[*#(\[—-]|\d")
CJK = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]")


def count_footer_rows(rows: Sequence[TableRow], width: int) -> int:
    """Return how many of the last rows of a file, given with its blank ones, stand behind its table of this width.

    A row whose cells are filled like a row of the table is one, whatever it says: only rows of totals, and rows with
    one filled cell that reads like a note, are left out.
    """
    count = 0
    for place in range(len(rows) - 1, -1, -1):
        row = rows[place]
        behind_blank = any(before.is_blank for before in rows[max(0, place - 1 - count) : place])
        if not (row.is_blank or _is_total(row, width) or _is_note(row, width, behind_blank)):
            break
        count = len(rows) - place
    footer = rows[len(rows) - count :]
    leading_blank = next((n for n, row in enumerate(footer) if not row.is_blank), count)
    return count - leading_blank


def _is_total(row: TableRow, width: int) -> bool:
    filled = [cell for cell in row.cells if cell.strip()]
    word = re.sub(r"[:：]|\(.*\)|\d+$", "", column_name(filled[0]).casefold()).strip()
    numbers = [cell for cell in filled[1:] if kind_of(cell) == "number"]
    return TOTALS.fullmatch(word) is not None and bool(numbers or len(filled) == 1) and len(filled) < max(2, width)


def _is_note(row: TableRow, width: int, behind_blank: bool) -> bool:
    filled = [cell for cell in row.cells if cell.strip()]
    if width < 2 or len(filled) != 1 or kind_of(filled[0]) != "text":
        return False
    text = filled[0].strip()
    if len(row.cells) == 1 and (width > 2 or behind_blank):
        return behind_blank or bool(NOTE.search(text))
    return behind_blank and (":" in text or len(text.split()) >= MIN_NOTE_WORDS or bool(CJK.search(text)))
