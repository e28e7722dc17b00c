"""Runs a sweep whenever it is woken and at the latest after its interval, and dispatches the units that it finds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import JobKind
from pipeline_engine.wake_up import DEBOUNCE_SECONDS, WakeUp
from pipeline_engine.workers.sweep import Sweep

CRON_SLACK_SECONDS = 1.0
"""How late arq's cron may be without the sweep running twice; it polls every half second."""


class Sweeper:
    """Runs one sweep. However many wake-ups come during a run, one more run follows.

    Everything is looked at every `sweep.every` seconds of the monotonic clock. In a daemon arq's cron usually comes
    first, but its next run is a wall time: when the clock goes back, cron sleeps until the old time has come again.
    """

    def __init__(self, sweep: Sweep[Any], app: App, wake_up: WakeUp, alone: bool = False) -> None:
        """`alone`: no cron wakes the sweep, so the interval needs no slack for it."""
        self._wake_up = wake_up
        self._sweep = sweep
        self._app = app
        self._every = sweep.every(app.settings) + (0.0 if alone else CRON_SLACK_SECONDS)

    async def run(self) -> None:
        """Sweep at once and then after every wake-up, until cancelled. Raises what the sweep raises."""
        places, due = None, 0.0
        while True:
            if places is None or monotonic() >= due:
                places, due = None, monotonic() + self._every
            await dispatch(self._app, await look(self._app, partial(self._find, places)))
            await asyncio.sleep(DEBOUNCE_SECONDS)
            places = await self._wake_up.wait(max(0.0, due - monotonic()))

    async def _find(self, places: frozenset[Any] | None) -> Sequence[Unit]:
        find_due_in = self._sweep.find_due_in
        if places is None or find_due_in is None:
            return await self._sweep.find(self._app)
        return await find_due_in(self._app, places)

    async def take_over(self) -> None:
        """Dispatch abandoned units every HEARTBEAT_SECONDS, until cancelled; returns at once for a sweep that finds
        none."""
        while self._sweep.find_abandoned:
            await dispatch(self._app, await look(self._app, partial(self._sweep.find_abandoned, self._app)))
            await asyncio.sleep(self._app.settings.heartbeat_seconds)


async def look(app: App, find: Callable[[], Awaitable[Sequence[Unit]]]) -> list[Unit]:
    """The units that `find` returns and that jobs can name. The others are set aside, and `find` is asked again, as
    they may have taken the places of units behind them."""
    while True:
        units = await find()
        misnamed = [(kind, id) for unit in units for kind, id in unit.jobs if not kind.can_name(id)]
        new = [await app.shared.quarantine.add(kind.collection, id, _misnamed(id)) for kind, id in misnamed]
        if not any(new):
            return [unit for unit in units if all(kind.can_name(id) for kind, id in unit.jobs)]


def _misnamed(id: object) -> str:
    return f"_id is of the type {type(id).__name__}, which no job can name: insert the document under an ObjectId"


async def dispatch(app: App, units: Sequence[Unit]) -> int:
    """Enqueue the jobs of the units in their lanes. Returns how many were not there yet. Raises: Unreachable."""
    ids: dict[JobKind[Any], list[Any]] = defaultdict(list)
    for unit in units:
        for kind, id in unit.jobs:
            ids[kind].append(id)
    return sum([await kind.enqueue(app.queue, some) for kind, some in ids.items()])
