"""Makes polluted files: one fault at a time, then pairs, then triples, each with the clean answer beside it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import NamedTuple

from tests.support.polluted.clean import Table
from tests.support.polluted.faults import FAULTS, SAME_PLACE, Fault


class Polluted(NamedTuple):
    """A file with its faults, and what a reader should make of it."""

    faults: tuple[Fault, ...]
    table: Table
    data: bytes

    @property
    def name(self) -> str:
        return " + ".join(fault.name for fault in self.faults) or "clean"


def pollute(at_once: int, *, every: int = 1) -> Iterator[Polluted]:
    """Yield a file for each set of `at_once` faults that go together, or for every n-th of them."""
    fitting = (faults for faults in combinations(FAULTS, at_once) if _go_together(faults))
    for number, faults in enumerate(fitting):
        if number % every == 0 and (polluted := _polluted(faults)):
            yield polluted


def _go_together(faults: tuple[Fault, ...]) -> bool:
    return not any(_exclude_each_other(one.group, other.group) for one, other in combinations(faults, 2))


@cache
def _exclude_each_other(one: str, other: str) -> bool:
    return one == other or {one, other} in SAME_PLACE


def _polluted(faults: tuple[Fault, ...]) -> Polluted | None:
    table = Table()
    for fault in faults:
        table = fault.spoil(table)
    try:
        return Polluted(faults, table, table.render())
    except UnicodeEncodeError:  # an accent of one fault is none of the other's encoding
        return None
