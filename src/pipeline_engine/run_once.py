"""One pass of some sweeps, and of everything they dispatched, on lane keys of its own."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_engine import logs
from pipeline_engine.app import App, open_app
from pipeline_engine.cron import TIMETABLE, Sweep
from pipeline_engine.engine import Engine
from pipeline_engine.errors import ConfigError, Unreachable
from pipeline_engine.lanes import Finished
from pipeline_engine.repos.indexes import create_indexes
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import dispatch

LOOK = 0.1
"""Seconds between two looks whether the lanes are empty."""

log = logs.get(__name__)


@dataclass(frozen=True)
class Result:
    """What became of one sweep; a unit is what its system counts: an import, an event."""

    name: str
    units: int = 0
    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    busy: int = 0
    seconds: float = 0.0
    skipped: str | None = None


def chosen(names: Sequence[str], settings: Settings) -> list[Sweep]:
    """The sweeps of these names; all that are switched on when none is named.

    Raises: ConfigError naming what is no sweep.
    """
    known = {sweep.name: sweep for sweep in TIMETABLE}
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"no such sweep: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] or [sweep for sweep in TIMETABLE if sweep.enabled(settings)]


async def run_once(settings: Settings, names: Sequence[str]) -> list[Result]:
    """Run the sweeps and work off what they dispatched; retries are waited for, future due times are not."""
    sweeps = chosen(names, settings)
    prefix = f"{settings.redis_prefix}once:{secrets.token_hex(6)}:"
    async with open_app(settings, lane_prefix=prefix) as app:
        await create_indexes(app.database)
        ran: Counter[str] = Counter()

        async def count(finished: Finished) -> None:
            ran[finished.job.lane] += 1

        engine = Engine(app, hooks=[count])
        await engine.start()
        try:
            return [await _run(app, engine, sweep, ran) for sweep in sweeps]
        finally:
            await engine.stop()


async def _run(app: App, engine: Engine, sweep: Sweep, ran: Counter[str]) -> Result:
    if not sweep.enabled(app.settings):
        return Result(sweep.name, skipped="switched off")
    started = time.monotonic()
    before = ran.total()
    held = await sweep.held(app)
    units: set[str] = set()
    # A sweep looks only so far ahead. What it finds a second time has had its turn.
    find = sweep.find_all or sweep.find
    while fresh := [unit for unit in await find(app) if unit.id not in units]:
        units.update(unit.id for unit in fresh)
        await dispatch(app, fresh)
        await _until_empty(app, engine)
    outcomes = Counter((await sweep.outcomes(app, list(units))).values())
    return Result(
        name=sweep.name,
        units=len(units) + held,
        jobs=ran.total() - before,
        succeeded=outcomes["succeeded"],
        failed=outcomes["failed"],
        busy=len(units) + held - outcomes["succeeded"] - outcomes["failed"],
        seconds=round(time.monotonic() - started, 3),
    )


async def _until_empty(app: App, engine: Engine) -> None:
    """Wait until nothing waits, runs or is to be retried in the lanes of this run."""
    asked: Sequence[str] = engine.lanes
    while True:
        try:
            counts = await app.queue.counts(asked)
        except Unreachable as error:
            log.warning("Redis is away, waiting for it", error=error)
            await asyncio.sleep(1)
            continue
        busy = [lane for lane, count in counts.items() if count.unfinished]
        if not busy and asked == engine.lanes:
            return
        if busy:
            await asyncio.sleep(LOOK)
        asked = busy or engine.lanes  # what runs may have filled another lane
