"""`run-once`: one pass of some sweeps and of the jobs that they dispatched, on lane keys of its own."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline_engine import logs, workers
from pipeline_engine.app import App
from pipeline_engine.engine import Engine
from pipeline_engine.errors import ConfigError, Unreachable
from pipeline_engine.index_check import log_problems
from pipeline_engine.lanes import Finished
from pipeline_engine.repos.indexes import create_indexes
from pipeline_engine.settings import Settings
from pipeline_engine.sweeper import dispatch, look
from pipeline_engine.workers.sweep import Sweep

POLL_SECONDS = 0.1
"""Between two checks whether the lanes are empty."""
EVENTS_TIMEOUT = 10.0
"""Seconds for delivering the events of this pass; what was not delivered by then waits for a daemon."""

Scoped = tuple[Sweep[Any], App[Any]]
"""A sweep with the app that it takes."""

log = logs.get(__name__)


@dataclass(frozen=True)
class Result:
    """The result of one sweep. A unit is what its system counts, such as an import or an event."""

    name: str
    units: int = 0
    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    busy: int = 0
    seconds: float = 0.0
    skipped: str | None = None


@dataclass(frozen=True)
class Pass:
    """The results of the sweeps, and how many events were not delivered; those wait for a daemon."""

    results: list[Result]
    events_waiting: int


def chosen(names: Sequence[str], settings: Settings) -> list[str]:
    """The given names of sweeps, or the names of all sweeps of enabled systems when none is given.

    Raises: ConfigError naming those that are not sweeps.
    """
    known = workers.sweeps()
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"no such sweep: {', '.join(map(logs.visible, unknown))}; there are {', '.join(known)}")
    switched_on = [name for name, (system, sweep) in known.items() if system.enabled(settings) and not sweep.joins]
    return list(names) or switched_on


async def run_once(settings: Settings, names: Sequence[str], account: str | None = None) -> Pass:
    """Run the sweeps and the jobs that they dispatched: all, or those of one account. Waits for retries, but not for
    work that is due later.

    Raises: ConfigError as `chosen`; as `connect_app`.
    """
    wanted = chosen(names, settings)
    prefix = f"{settings.redis_prefix}once:{secrets.token_hex(6)}:"
    async with workers.open_app(settings, lane_prefix=prefix) as app:
        log_problems((await create_indexes(app.database, app.collections)).problems)
        ran: Counter[str] = Counter()

        async def count(finished: Finished) -> None:
            ran[finished.job.lane] += 1

        engine = Engine(app, hooks=[count])
        await engine.start()
        grace: float | None = None
        try:
            results = [await _run(engine, name, ran, account) for name in wanted]
            grace = 0.0  # all jobs are done; only a delivery that hangs may still run
            return Pass(results, await _deliver_events(engine))
        finally:
            await engine.stop(grace)


async def _run(engine: Engine, name: str, ran: Counter[str], account: str | None) -> Result:
    settings = engine.app.settings
    system, sweep = workers.sweeps()[name]
    if not system.enabled(settings):
        return Result(name, skipped="switched off")
    if reason := sweep.skipped(settings):
        return Result(name, skipped=reason)
    started, before = time.monotonic(), ran.total()
    group = [(sweep, engine.scopes[system.name]) for system, sweep in workers.group(name, settings)]
    claimed = sum([await sweep.count_claimed(app) for sweep, app in group])
    found = await _work_off(engine, group, account)
    words = [word for (sweep, app), ids in found for word in (await sweep.outcomes(app, ids)).values()]
    units, outcomes = claimed + sum(len(ids) for _, ids in found), Counter(words)
    return Result(
        name=name,
        units=units,
        jobs=ran.total() - before,
        succeeded=outcomes["succeeded"],
        failed=outcomes["failed"],
        busy=units - outcomes["succeeded"] - outcomes["failed"],
        seconds=round(time.monotonic() - started, 3),
    )


async def _work_off(
    engine: Engine, group: Sequence[Scoped], account: str | None = None
) -> list[tuple[Scoped, list[str]]]:
    """Sweep until no sweep of the group finds a new unit, each time waiting for the dispatched jobs, which may make
    work for another sweep of the group. Returns the ids of all units, by sweep."""
    units: list[set[str]] = [set() for _ in group]
    found_any = True
    while found_any:
        found_any = False
        for (sweep, app), known in zip(group, units, strict=True):
            # A sweep finds a limited number of units at a time. A unit found for the second time has been run.
            find = sweep.find_due_now or sweep.find
            units_found = await look(app, partial(find, app))
            wanted = [unit for unit in units_found if account in (None, unit.account)]
            fresh = [unit for unit in wanted if unit.id not in known]
            if fresh:
                found_any = True
                known.update(unit.id for unit in fresh)
                await dispatch(app, fresh)
                await _until_empty(engine, app)
    return [(scoped, list(ids)) for scoped, ids in zip(group, units, strict=True)]


async def _deliver_events(engine: Engine) -> int:
    """Deliver the events that this pass caused. Returns how many still wait, after at most `EVENTS_TIMEOUT` seconds."""
    app = engine.app
    try:
        async with asyncio.timeout(EVENTS_TIMEOUT):
            for sweep, scope in engine.sweeps():
                if sweep.carries_events:
                    await _work_off(engine, [(sweep, scope)])
    except TimeoutError:
        log.warning("events.not_delivered_in_time", seconds=EVENTS_TIMEOUT)
    return await app.shared.events.count_waiting()


async def _until_empty(engine: Engine, app: App[Any]) -> None:
    """Wait until no job waits, runs or is to be retried in the lanes of this pass."""
    asked: Sequence[str] = engine.lanes
    while True:
        try:
            counts = await app.queue.counts(asked)
        except Unreachable as error:
            log.warning("redis.unreachable", error=error)
            await asyncio.sleep(1)
            continue
        busy = [lane for lane, count in counts.items() if count.unfinished]
        if not busy and asked == engine.lanes:
            return
        if busy:
            await asyncio.sleep(POLL_SECONDS)
        asked = busy or engine.lanes  # a job may have enqueued others in another lane
