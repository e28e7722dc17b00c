"""Compares candidate readings of a sample by how much a table comes out of each.

A reading is good when its rows have one width, its cells look like whole cells, and the names of the mapped columns
stand in one of its rows. After the consistency measure of van den Burg et al. (2019), simplified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline_engine.domain.imports.csv.table_cells import weight_of
from pipeline_engine.domain.imports.csv.table_formats import WEAK, find_delimiters, find_quotings, prior
from pipeline_engine.domain.imports.csv.table_header import column_kinds, find_named_header
from pipeline_engine.domain.imports.csv.table_reader import Format, TableRow, read_rows

MAX_QUOTED_DELIMITERS = 3
"""How many delimiters are tried with other quotings."""
MAX_LINES = 600
MAX_CHARS = 32 * 1024
"""The lines and characters of the sample by which readings are compared."""
MAX_WEIGHED_ROWS = 80
MAX_WEIGHED_CELLS = 40
FIRST_ROWS = 40
"""The rows among which the header is looked for when readings are compared."""
OUTSIDE_COST = 0.3
"""What a row before or behind the table costs, against one of another width inside it."""
EMPTY_COLUMN_WEIGHT = 0.3
UNFIT_HEADER = 0.5
MIN_WEAK_SCORE = 0.25
"""The share of the best score that a delimiter out of ordinary text needs, for the names found by it to count."""
NEAR = 0.7
"""The share of the best score from which on a second reading makes it doubtful."""


class Reading(NamedTuple):
    """One candidate: `names` of the wanted columns were found, `share` of the table's rows have its `width`."""

    form: Format
    width: int
    names: int
    score: float
    share: float


def compare(lines: Sequence[str], delimiter: str | None, wanted: frozenset[str]) -> list[Reading]:
    """Return the readings of the lines, the best first; of equal ones the plain one. `delimiter` is one that is known.

    Other quotings than the plain one are tried with the best delimiters only.
    """
    shown = _shown(lines)
    plain = [Format(one) for one in (find_delimiters(lines) if delimiter is None else [delimiter])]
    readings = _sorted(_judge(read_rows(shown, form), form, wanted) for form in plain)
    best = [reading.form.delimiter for reading in readings[:MAX_QUOTED_DELIMITERS]]
    others = [Format(one, *quoting) for quoting in find_quotings(lines) for one in best]
    return _sorted([*readings, *(_judge(read_rows(shown, form), form, wanted) for form in others)])


def _sorted(readings: Iterable[Reading]) -> list[Reading]:
    every = list(readings)
    enough = MIN_WEAK_SCORE * max(reading.score for reading in every)

    def rank(reading: Reading) -> tuple[int, float]:
        # "Deal" is also the first word of "Deal Name,Value": a name proves no blank between cells without a table.
        proves = reading.form.delimiter not in WEAK or reading.score >= enough
        return (-reading.names if proves else 0, -reading.score)

    return sorted(every, key=rank)


def runner_up(readings: Sequence[Reading]) -> Reading | None:
    """Return the best reading with another delimiter than the first has; None when it is far behind."""
    best = readings[0]
    rivals = [other for other in readings if other.form.delimiter != best.form.delimiter]
    near = [rival for rival in rivals if rival.names == best.names and rival.score >= NEAR * best.score]
    return near[0] if near else None


def confidence(readings: Sequence[Reading]) -> float:
    """Return from 0 to 1 how sure the best reading is: its consistency, less when another is nearly as good."""
    best, second = readings[0], runner_up(readings)
    lead = 1.0 if second is None else max(0.5, 1.0 - (second.score / best.score - NEAR) / 2 / (1 - NEAR))
    # A single column is weak evidence: no delimiter proves it, only its name.
    proof = 1.0 if best.width > 1 or best.names or best.form.delimiter else 0.5
    return min(1.0, best.share * lead * proof)


def _shown(lines: Sequence[str]) -> list[str]:
    shown: list[str] = []
    chars = 0
    for line in lines[:MAX_LINES]:
        chars += len(line)
        if chars > MAX_CHARS and shown:
            break
        shown.append(line)
    return shown


def _judge(rows: Sequence[TableRow], form: Format, wanted: frozenset[str]) -> Reading:
    filled = [row for row in rows if not row.is_blank]
    header = find_named_header(filled, range(min(FIRST_ROWS, len(filled))), wanted)
    width = table_width(filled)
    good = [place for place, row in enumerate(filled) if len(row.cells) == width]
    inside = good[-1] - good[0] + 1 if good else 0
    outside = sum(len(row.cells) > 1 for row in [*filled[: good[0]], *filled[good[-1] + 1 :]]) if good else 0
    share = len(good) / max(1, inside + outside)
    pattern = len(good) / max(1.0, inside + OUTSIDE_COST * (len(filled) - inside))
    table = [filled[place] for place in good]
    score = prior(form.delimiter) * pattern * _weight(table, width) * width / (width + 1)
    if header and not _fits(filled[header.at], width):
        score *= UNFIT_HEADER
    if form.delimiter and (width < 2 or (form.delimiter in WEAK and not _has_typed_column(table, width))):
        score *= 0.1
    return Reading(form, width, header.found if header else 0, score, share)


def table_width(rows: Sequence[TableRow]) -> int:
    """Return how many cells most rows have; one cell counts only when no row has more."""
    widths = Counter(len(row.cells) for row in rows)
    several = {width: times for width, times in widths.items() if width > 1}
    return max(several, key=lambda width: (several[width], width)) if several else 1


def _fits(header: TableRow, width: int) -> bool:
    """Whether the header heads a table of this width, empty names at its end aside."""
    filled = max((place for place, cell in enumerate(header.cells, 1) if cell.strip()), default=0)
    named = len(header.cells)
    return filled <= width <= named or (width > 2 and 1 < named <= width <= 2 * named + 1)


def _weight(table: Sequence[TableRow], width: int) -> float:
    step = max(1, len(table) // MAX_WEIGHED_ROWS)
    judged = [row.cells[:MAX_WEIGHED_CELLS] for row in table[::step]]
    columns = list(zip(*judged, strict=True)) if judged else []
    return sum(_column_weight(column) for column in columns) / max(1, len(columns))


def _column_weight(cells: Sequence[str]) -> float:
    if not any(cell.strip() for cell in cells):
        return EMPTY_COLUMN_WEIGHT
    return sum(map(weight_of, cells)) / len(cells)


def _has_typed_column(table: Sequence[TableRow], width: int) -> bool:
    return any(kind != "text" for kind in column_kinds(table[1:], min(width, MAX_WEIGHED_CELLS)))
