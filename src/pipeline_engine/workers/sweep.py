"""Sweeps: how a system finds its due work, one row of the timetable each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline_engine.app import App
from pipeline_engine.domain.unit import Unit
from pipeline_engine.settings import Settings

Repos = TypeVar("Repos")


def _not_skipped(_settings: Settings) -> str | None:
    return None


async def _none_claimed(_app: object) -> int:
    return 0


@dataclass(frozen=True)
class Sweep(Generic[Repos]):
    """Finds due units and changes nothing. The engine dispatches the units' jobs, which do the work."""

    name: str
    every: Callable[[Settings], float]
    """Seconds between two runs when nothing else wakes the sweep."""
    find: Callable[[App[Repos]], Awaitable[Sequence[Unit]]]
    outcomes: Callable[[App[Repos], Sequence[str]], Awaitable[Mapping[str, str]]]
    """{unit id: succeeded|failed|busy} of units that the sweep found before."""
    watches: frozenset[str] = frozenset()
    """Collections whose changes wake the sweep."""
    find_due_in: Callable[[App[Repos], Collection[Any]], Awaitable[Sequence[Unit]]] | None = None
    """As `find`, only in the places (stages) that the change stream reported."""
    count_claimed: Callable[[App[Repos]], Awaitable[int]] = _none_claimed
    """How many units `find` leaves out because a run holds them."""
    find_abandoned: Callable[[App[Repos]], Awaitable[Sequence[Unit]]] | None = None
    """Units that a run has begun and no process holds.

    The engine asks at every heartbeat, so the query must be cheap. A sweep that runs seldom needs this, so that units
    of a process that died do not wait for the sweep.
    """
    find_due_now: Callable[[App[Repos]], Awaitable[Sequence[Unit]]] | None = None
    """Used by `run-once` instead of `find`, where `find` leaves out units at rest: the operator wants those now."""
    skipped: Callable[[Settings], str | None] = _not_skipped
    """The reason for which this process leaves the sweep out, such as an integration that is not configured. `find`
    then finds nothing; the daemon logs the reason at its start, and `run-once` prints it."""
    joins: str = ""
    """The name of another sweep with which `run-once` runs this one; their units are counted together."""
    carries_events: bool = False
    """Its units are events that units of other sweeps caused: `run-once` runs it once more before it exits."""
