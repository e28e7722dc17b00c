"""Runs one sweep whenever it is woken, and dispatches what it found."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.unit import Unit
from pipeline_engine.lanes import JobKind
from pipeline_engine.wake_up import WakeUp
from pipeline_engine.workers.sweep import Sweep

DEBOUNCE_SECONDS = 0.2
"""Between two sweeps, however often they are woken; the first wake-up after a rest is heard at once."""


class Sweeper:
    """Wake-ups that come while it sweeps make it sweep once more, and no more than that."""

    def __init__(self, sweep: Sweep[Any], app: App, wake_up: WakeUp, alone: bool = False) -> None:
        """`alone`: no cron wakes it, so it sweeps by itself as often as its row says."""
        self._wake_up = wake_up
        self._sweep = sweep
        self._app = app
        self._longest = sweep.every(app.settings) if alone else None

    async def run(self) -> None:
        """Sweep at once, then after every wake-up."""
        places = None
        while True:
            await dispatch(self._app, await self._find(places))
            await asyncio.sleep(DEBOUNCE_SECONDS)
            places = await self._wake_up.wait(self._longest)

    async def _find(self, places: frozenset[Any] | None) -> Sequence[Unit]:
        find_due_in = self._sweep.find_due_in
        if places is None or find_due_in is None:
            return await self._sweep.find(self._app)
        return await find_due_in(self._app, places)

    async def take_over(self) -> None:
        """Between sweeps, dispatch what a vanished process has left."""
        while self._sweep.find_abandoned:
            await dispatch(self._app, await self._sweep.find_abandoned(self._app))
            await asyncio.sleep(self._app.settings.heartbeat_seconds)


async def dispatch(app: App, units: Sequence[Unit]) -> int:
    """Put the jobs of the units into their lanes. Returns how many are new there."""
    ids: dict[JobKind[Any], list[Any]] = defaultdict(list)
    for unit in units:
        for kind, id in unit.jobs:
            ids[kind].append(id)
    return sum([await kind.enqueue(app.queue, some) for kind, some in ids.items()])
