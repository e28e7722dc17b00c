"""The engine of one process: systems, worker pool, heartbeat and clock. The daemon and `run-once` each start one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pymongo.errors import PyMongoError

from pipeline_engine import error_reports, logs, workers
from pipeline_engine.app import App
from pipeline_engine.errors import Unreachable
from pipeline_engine.lanes import Context, Dead, Finished, Handler, Hook, JobKind, Outcome, Retry, WorkerPool
from pipeline_engine.lanes.classify_error import expected
from pipeline_engine.repos.client import is_away
from pipeline_engine.repos.quarantine import QUARANTINE
from pipeline_engine.run_forever import run_forever, stop_tasks
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

FRUGAL_POLL_SECONDS = 300.0
POLL_SECONDS = 1.0
AFTER_LAST_JOB_SECONDS = 3.0
"""The part of SHUTDOWN_GRACE for what follows the last job, so that a grace of 20 s ends within 25 s."""
RELEASE_TIMEOUT = 2.0
"""Seconds for releasing the leases; those not released by then run out by themselves."""

log = logs.get(__name__)


class Engine:
    """The systems that are switched on, with their lanes. Call `start` once, then `stop` once."""

    def __init__(self, app: App, hooks: Sequence[Hook] = ()) -> None:
        self.app = app
        self._tasks: list[asyncio.Task[None]] = []
        self.scopes = {system.name: app.with_repos(system.open_repos) for system in workers.SYSTEMS}
        """{name of a system: the app with that system's repos}, also of systems that are switched off."""
        systems = workers.enabled(app.settings)
        lanes = [system.tune(lane, app.settings) for system in systems for lane in system.lanes]
        self.lanes = [lane.name for lane in lanes]
        self.worker_pool = WorkerPool(
            app.settings.redis,
            app.queue,
            lanes=lanes,
            handlers={
                name: handler
                for system in systems
                for name, handler in _handlers(system, self.scopes[system.name]).items()
            },
            app=app,
            store=app.shared.job_store,
            hooks=[*hooks, _report],
            lease=app.settings.lease_seconds,
            look_every=FRUGAL_POLL_SECONDS if app.settings.profile == "frugal" else POLL_SECONDS,
        )

    def sweeps(self) -> list[tuple[Sweep[Any], App[Any]]]:
        """The sweeps of the systems that are switched on, each with the app that it takes."""
        systems = workers.enabled(self.app.settings)
        return [(sweep, self.scopes[system.name]) for system in systems for sweep in system.sweeps]

    async def start(self) -> None:
        """Start the heartbeat and the clock, and open the lanes."""
        dsn = self.app.settings.sentry_dsn
        error_reports.start(dsn.get_secret_value() if dsn else None)
        self.watch("heartbeat", self.app.heartbeat.run)
        self.watch("clock", partial(keep_time, self.app))
        await self.worker_pool.start()

    def watch(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run the loop until the engine stops; one that raises is logged and started again."""
        self._tasks.append(asyncio.create_task(run_forever(name, loop), name=name))

    async def stop(self, grace: float | None = None) -> None:
        """Claim no more jobs, wait for running ones, release every lease. Takes at most `grace` + 4 s.

        `grace`: seconds for running jobs; by default SHUTDOWN_GRACE less `AFTER_LAST_JOB_SECONDS`.
        """
        self.app.stopping.set()
        allowed = self.app.settings.shutdown_grace - AFTER_LAST_JOB_SECONDS
        await self.worker_pool.drain(max(0.0, allowed if grace is None else grace))
        await stop_tasks(*self._tasks)
        await asyncio.gather(self._release(), error_reports.stop())

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self.app.heartbeat.release()
        except (PyMongoError, TimeoutError) as error:
            log.warning("leases.not_released", error=error, consequence="they run out by themselves")


async def _report(finished: Finished) -> None:
    """Report what our code did not raise on purpose, and every job that becomes a dead letter."""
    outcome, error = finished.outcome, finished.error
    unexpected = isinstance(outcome, Retry) and error is not None and not expected(error)
    if isinstance(outcome, Dead) or unexpected:
        job = finished.job
        error_reports.add(error, job.function, getattr(outcome, "error", ""), lane=job.lane, attempt=job.attempt)


def _handlers(system: System[Any], app: App[Any]) -> dict[str, Handler[App]]:
    cache = system.new_cache(app.settings)
    return {kind.name: _handler(kind, partial(run, app, cache)) for kind, run in system.handlers.items()}


def _handler(kind: JobKind[Any], run: Callable[[Any], Awaitable[Outcome | None]]) -> Handler[App]:
    """The function that the lane calls. While MongoDB is away it raises Unreachable, which uses up no attempt."""

    async def handle(_context: Context[App], id: str) -> Outcome | None:
        try:
            return await run(kind.read_id(id))
        except Exception as error:
            if is_away(error):
                raise Unreachable(f"MongoDB: {error}") from error
            raise

    return handle


def watched(sweeps: Sequence[Sweep[Any]], wake_ups: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{collection: the wake-ups of all sweeps that watch it}. A document that is set aside makes place for others, so
    every sweep looks then."""
    collections = {name for sweep in sweeps for name in sweep.watches}
    watchers = {name: [wake_ups[sweep.name] for sweep in sweeps if name in sweep.watches] for name in collections}
    return {**watchers, QUARANTINE.name: [wake_ups[sweep.name] for sweep in sweeps]}


async def keep_time(app: App) -> None:
    """Set the app's clock by MongoDB's, every CLOCK_REFRESH_SECONDS, until cancelled. Raises PyMongoError."""
    while True:
        await app.clock.follow(app.server.now)
        await asyncio.sleep(app.settings.clock_refresh_seconds)
