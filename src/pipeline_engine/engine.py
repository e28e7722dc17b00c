"""The engine in one process: worker pool, heartbeat and clock. Daemon and run-once both start one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from pymongo.errors import PyMongoError

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.imports.import_cache import ImportCache
from pipeline_engine.lanes import LANES, Hook, Lane, WorkerPool
from pipeline_engine.supervise import end, supervise
from pipeline_engine.workers import automations, funnels, imports

FRUGAL_LOOK = 300.0
LOOK = 1.0
CLOSE_SECONDS = 3.0
"""Part of the grace kept for what follows the last job: with 20 s of grace the process ends within 25 s."""
RELEASE_TIMEOUT = 2.0
"""Seconds that releasing the leases may take; leases that are not released expire."""

log = logs.get(__name__)


class Engine:
    def __init__(self, app: App, hooks: Sequence[Hook] = ()) -> None:
        self._app = app
        lanes = enabled_lanes(app)
        self.lanes = [lane.name for lane in lanes]
        self._import_cache = ImportCache()
        self._tasks: list[asyncio.Task[None]] = []
        self.worker_pool = WorkerPool(
            app.settings.redis,
            app.queue,
            lanes=lanes,
            handlers={
                **imports.handlers(self._import_cache),
                **automations.handlers(),
                **funnels.handlers(CloneCache(app.settings.clone_copies)),
            },
            app=app,
            store=app.job_store,
            hooks=hooks,
            lease=app.settings.lease_seconds,
            look_every=FRUGAL_LOOK if app.settings.profile == "frugal" else LOOK,
        )

    async def start(self) -> None:
        self.watch("heartbeat", self._app.heartbeat.run)
        self.watch("clock", partial(keep_time, self._app))
        await self.worker_pool.start()

    def watch(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Keep a loop running until the engine stops."""
        self._tasks.append(asyncio.create_task(supervise(name, loop), name=name))

    async def stop(self) -> None:
        """Claim nothing more, let running jobs end, release every lease. Takes at most SHUTDOWN_GRACE + 4 s."""
        self._import_cache.stopping = True
        await self.worker_pool.drain(max(0.0, self._app.settings.shutdown_grace - CLOSE_SECONDS))
        await end(*self._tasks)
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._app.heartbeat.release()
        except (PyMongoError, TimeoutError) as error:
            log.warning("leases.not_released", error=error)


async def keep_time(app: App) -> None:
    """Follow the server's clock."""
    while True:
        app.clock.set(await app.server.now())
        await asyncio.sleep(app.settings.clock_refresh_seconds)


def enabled_lanes(app: App) -> list[Lane]:
    """The lanes of the systems that are switched on."""
    switched_on = {
        "deals.import": app.settings.qm_deals,
        "deals.automations": app.settings.qm_deals_automations,
        "funnels_clone": app.settings.qm_funnels_clone,
    }
    names = tuple(name for name, on in switched_on.items() if on)
    return [lane for lane in LANES.values() if lane.name.startswith(names)]
