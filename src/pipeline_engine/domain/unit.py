"""Units of due work, as sweeps find them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from pipeline_engine.lanes import JobKind


@dataclass(frozen=True)
class Unit:
    """What a system counts: an import, an automation, a funnel. `jobs` are the kinds and ids to dispatch for it."""

    id: str
    account: str
    jobs: tuple[tuple[JobKind[Any], Any], ...] = ()

    @classmethod
    def of(cls, kind: JobKind[Any], id: Any, account: object) -> Unit:
        """A unit that is one job."""
        return cls(str(id), str(account), ((kind, id),))


def fair(units: Iterable[Unit], limit: int) -> list[Unit]:
    """The first `limit` units when accounts take turns, each in its given order, so that none waits behind another's
    heap."""
    heaps: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        heaps[unit.account].append(unit)
    rounds = chain.from_iterable(zip_longest(*heaps.values()))
    return [unit for unit in rounds if unit is not None][:limit]
