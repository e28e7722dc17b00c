"""Runs one sweep whenever it is poked, and dispatches what it found."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.cron import Sweep
from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import NewJob
from pipeline_engine.wake_up import WakeUp

DEBOUNCE = 0.2
"""Seconds between two sweeps, however often they are poked; the first poke after a rest is heard at once."""

log = logs.get(__name__)


class Sweeper:
    """Pokes that come while it sweeps make it sweep once more, and no more than that."""

    def __init__(self, sweep: Sweep, app: App, poke: WakeUp, alone: bool = False) -> None:
        """`alone`: nothing pokes it by the clock, so it looks by itself."""
        self._poke = poke
        self._sweep = sweep
        self._app = app
        self._longest = sweep.every(app.settings) if alone else None

    async def run(self) -> None:
        """Sweep at once, then after every poke."""
        places = None
        while True:
            await dispatch(self._app, await self._find(places))
            await asyncio.sleep(DEBOUNCE)
            places = await self._poke.wait(self._longest)

    async def _find(self, places: frozenset[Any] | None) -> Sequence[Unit]:
        near = self._sweep.near
        return await (self._sweep.find(self._app) if places is None or near is None else near(self._app, places))

    async def take_up(self) -> None:
        """Between sweeps, dispatch what a vanished run has left."""
        while self._sweep.begun:
            await dispatch(self._app, await self._sweep.begun(self._app))
            await asyncio.sleep(self._app.settings.heartbeat_seconds)


async def dispatch(app: App, units: Sequence[Unit]) -> int:
    """Put the jobs of the units into their lanes. Returns how many are new there."""
    jobs: dict[str, list[NewJob]] = defaultdict(list)
    for unit in units:
        if unit.lane and unit.job:
            jobs[unit.lane].append(unit.job)
    return sum([await app.queue.enqueue_many(lane, batch) for lane, batch in jobs.items()])
