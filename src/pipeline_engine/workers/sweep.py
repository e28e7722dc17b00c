"""How a system finds its due work: one row of the timetable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline_engine.app import App
from pipeline_engine.domain.unit import Unit
from pipeline_engine.settings import Settings

Repos = TypeVar("Repos")


async def _none_claimed(_app: object) -> int:
    return 0


@dataclass(frozen=True)
class Sweep(Generic[Repos]):
    """A question that finds due units and does nothing else; the units' jobs do the work."""

    name: str
    every: Callable[[Settings], float]
    """Seconds between two sweeps when nothing wakes it."""
    find: Callable[[App[Repos]], Awaitable[Sequence[Unit]]]
    outcomes: Callable[[App[Repos], Sequence[str]], Awaitable[Mapping[str, str]]]
    """{unit id: succeeded|failed|busy} of units found before."""
    watches: frozenset[str] = frozenset()
    """Collections whose changes make this sweep due."""
    find_due_in: Callable[[App[Repos], Collection[Any]], Awaitable[Sequence[Unit]]] | None = None
    """`find`, only for the places (stages) of which the change stream gave notice."""
    count_claimed: Callable[[App[Repos]], Awaitable[int]] = _none_claimed
    """How many due units `find` leaves out because a run is at work on them."""
    find_abandoned: Callable[[App[Repos]], Awaitable[Sequence[Unit]]] | None = None
    """Units that a run has begun and no process holds, cheaply found: looked for at every heartbeat. A sweep that runs
    seldom needs it: what a vanished process left must not wait for the sweep."""
    find_due_now: Callable[[App[Repos]], Awaitable[Sequence[Unit]]] | None = None
    """What run-once looks for instead, when `find` leaves out units that only rest: an operator has asked for them."""
    carries_events: bool = False
    """Its units are events that others' units caused: run-once sweeps it once more before it exits."""
