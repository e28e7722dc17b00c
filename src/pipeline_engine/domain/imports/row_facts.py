"""What a chunk stores of its good rows besides their number: the sum of `value`, and what was left out of cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline_engine.domain.imports.csv.row import Row

LEFT_OUT = {
    "more_addresses": "several e-mail addresses; the first was taken",
    "more_numbers": "several telephone numbers; the first was taken",
}


class ValueTotal(NamedTuple):
    """The sum of `value` over deals, and how many of them have one."""

    sum: float
    deals: int


def value_total(values: Iterable[object]) -> ValueTotal:
    """Return the total of the values that are numbers; others, as older imports stored them, do not count."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return ValueTotal(math.fsum(numbers), len(numbers))


def row_facts(rows: Sequence[Row]) -> dict[str, Any]:
    """Return `value` {sum, deals} and `notes` [{column, code, rows, line, value}] of a chunk's good rows.

    Of each kind of note, `line` and `value` are those of the first."""
    notes: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        for note in row.notes:
            first = {**note._asdict(), "rows": 0, "line": row.line}
            notes.setdefault((note.column, note.code), first)["rows"] += 1
    return {
        "value": value_total(row.fields.get("value") for row in rows)._asdict(),
        "notes": list(notes.values()),
    }


def note_warnings(notes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one sentence per column and kind of the notes of all chunks, which come in file order."""
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    rows: dict[tuple[str, str], int] = {}
    for note in notes:
        kind = (note["column"], note["code"])
        first.setdefault(kind, note)
        rows[kind] = rows.get(kind, 0) + note["rows"]
    return [
        f"column {note['column']!r}: {rows[kind]} rows have {LEFT_OUT[note['code']]}, e.g. line {note['line']} "
        f"{note['value']!r}"
        for kind, note in first.items()
    ]
