"""Scores what a reader found in a polluted file against the clean answer, 0 to 10, as the Pollock benchmark does.

One point for reading the file at all, and precision, recall and F1 of each of header, records and cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

Names = Sequence[str]
Rows = Sequence[Sequence[str]]
Reader = Callable[[bytes, Sequence[str]], tuple[Names, Rows]]
"""(bytes of the file, mapped names) -> names and rows."""
PARTS = 10


def score(found: tuple[Names, Rows] | None, answer: tuple[Names, Rows]) -> float:
    """Return 0 (nothing could be read) to 10 (all as it should be)."""
    if found is None:
        return 0.0
    names, rows = found
    true_names, true_rows = answer
    measures = [
        *_measures(map(_spelled, names), map(_spelled, true_names)),
        *_measures((_record(row) for row in rows), (_record(row) for row in true_rows)),
        *_measures(
            (cell for row in rows for cell in _record(row)), (cell for row in true_rows for cell in _record(row))
        ),
    ]
    return 1.0 + sum(measures)


def _spelled(cell: str) -> str:
    return " ".join(cell.split())


def _record(row: Sequence[str]) -> tuple[str, ...]:
    return tuple(_spelled(cell) for cell in row)


def _measures(found: Iterable[Hashable], true: Iterable[Hashable]) -> tuple[float, float, float]:
    """Precision, recall and F1 of two bags."""
    got, wanted = Counter(found), Counter(true)
    if not got and not wanted:
        return 1.0, 1.0, 1.0
    hits = (got & wanted).total()
    if not hits:
        return 0.0, 0.0, 0.0
    precision, recall = hits / got.total(), hits / wanted.total()
    return precision, recall, 2 * precision * recall / (precision + recall)
