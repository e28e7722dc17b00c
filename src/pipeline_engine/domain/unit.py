"""A unit of due work, as a sweep finds it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest

from pipeline_engine.lanes import NewJob


@dataclass(frozen=True)
class Unit:
    """`id` names it for people and programs; without a job it was done by the sweep itself."""

    id: str
    account: str
    lane: str | None = None
    job: NewJob | None = None


def fair(units: Iterable[Unit], most: int) -> list[Unit]:
    """The first `most` units when every account in turn gives its oldest: none waits for another's heap."""
    heaps: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        heaps[unit.account].append(unit)
    rounds = chain.from_iterable(zip_longest(*heaps.values()))
    return [unit for unit in rounds if unit is not None][:most]
