"""Finds which rows of a sheet are those that were seen before, whatever was inserted, deleted, moved or edited. Pure.

A row is the same when its cells are, also under the headers of the last look. An edited row is recognised by a cell
that no other row has (a time, an address) and by how much else of it stayed: half where it stood before, all but one
cell elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pipeline_engine.domain.sheets.rows import SheetRow


@dataclass(frozen=True)
class KnownRow:
    """A row as it was at the last look. Its key never changes, and is that of its submission."""

    key: str
    prints: frozenset[bytes]


@dataclass(frozen=True)
class PlacedRow:
    """A row of the sheet now. `known` is what it was at the last look; None for a new one."""

    row: SheetRow
    key: str
    known: KnownRow | None

    @property
    def is_changed(self) -> bool:
        """Whether the row is new, or was edited."""
        return self.known is None or self.known.prints != self.row.prints


def align(known: Sequence[KnownRow], rows: Sequence[SheetRow]) -> list[PlacedRow]:
    """Each row of the sheet, in its order, with its key. A new row gets the key `<content>:<n>`."""
    found = _equal(known, rows)
    found |= _edited(known, rows, found)
    keys = {known[at].key for at in found.values()}
    placed = []
    for place, row in enumerate(rows):
        before = known[found[place]] if place in found else None
        key = before.key if before else _new_key(row, keys)
        keys.add(key)
        placed.append(PlacedRow(row, key, before))
    return placed


def _new_key(row: SheetRow, taken: Collection[str]) -> str:
    number = 0
    while (key := f"{row.content}:{number}") in taken:
        number += 1
    return key


def _equal(known: Sequence[KnownRow], rows: Sequence[SheetRow]) -> dict[int, int]:
    """{place in the sheet: place among the known rows} of rows with the same cells."""
    places: dict[frozenset[bytes], deque[int]] = defaultdict(deque)
    for at, one in enumerate(known):
        places[one.prints].append(at)
    return {
        place: queue.popleft()
        for place, row in enumerate(rows)
        if (queue := places.get(row.prints) or places.get(row.before))
    }


def _edited(known: Sequence[KnownRow], rows: Sequence[SheetRow], found: dict[int, int]) -> dict[int, int]:
    """As `_equal`, of the other rows, for those that were edited: the most alike first."""
    gone = sorted({*range(len(known))} - {*found.values()})
    if not gone or len(found) == len(rows):
        return {}
    gaps = _Gaps(len(known), len(rows), found)
    pairs = sorted(_likely(known, rows, found, gone, gaps), reverse=True)
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, place, at in pairs:
        if place not in chosen and at not in taken:
            chosen[place] = at
            taken.add(at)
    return chosen


def _likely(
    known: Sequence[KnownRow], rows: Sequence[SheetRow], found: dict[int, int], gone: Sequence[int], gaps: _Gaps
) -> Iterator[tuple[int, bool, int, int]]:
    """(equal cells, whether in the same gap, place, place among the known) of pairs that are one row."""
    counts_before = Counter(one for row in known for one in row.prints)
    counts_now = Counter(one for row in rows for one in row.prints | row.before)
    holders = {one: at for at in gone for one in known[at].prints if counts_before[one] == 1}
    for place, row in enumerate(rows):
        if place in found:
            continue
        prints = row.prints | row.before
        for at in {holders[one] for one in prints if one in holders and counts_now[one] == 1}:
            equal = len(prints & known[at].prints)
            most = max(len(row.prints), len(known[at].prints))
            is_there = gaps.share(place, at)
            if (is_there and 2 * equal >= most) or (equal >= 2 and equal >= most - 1):
                yield equal, is_there, place, at


class _Gaps:
    """Where rows stand: between which of the rows that are certainly known."""

    def __init__(self, known: int, rows: int, found: dict[int, int]) -> None:
        kept = {*found.values()}
        self._known_before = _last([at if at in kept else None for at in range(known)])
        self._known_after = _last([at if at in kept else None for at in reversed(range(known))])[::-1]
        self._before = _last([found.get(place) for place in range(rows)])
        self._after = _last([found.get(place) for place in reversed(range(rows))])[::-1]

    def share(self, place: int, at: int) -> bool:
        """Whether a row of the sheet has a neighbour that the known row had, or both are first or last."""
        return self._before[place] == self._known_before[at] or self._after[place] == self._known_after[at]


def _last(places: Sequence[int | None]) -> list[int | None]:
    """For each place, the last one before it that is not None."""
    last: int | None = None
    found = []
    for one in places:
        found.append(last)
        last = one if one is not None else last
    return found
