"""`/metrics`: how this process, its lanes and the work in MongoDB are, for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib import metadata
from typing import TypeVar

import pymongo
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from pipeline_engine import logs, workers
from pipeline_engine.admin.exposition import Readings, exposition
from pipeline_engine.admin.health import AWAY, Readiness
from pipeline_engine.admin.shared_answer import SharedAnswer
from pipeline_engine.app import App
from pipeline_engine.lanes import LaneStats
from pipeline_engine.repos.stuck import count_stuck

READ_TIMEOUT = 3.0
"""Seconds for the figures of one server that answers. With the time that it gets to answer at all, this is less than
the 10 s for which Prometheus waits."""
CACHE_SECONDS = 5.0
"""How long an answer is reused, so that what it costs the servers does not grow with those who ask."""

T = TypeVar("T")

log = logs.get(__name__)


class Metrics:
    """200 whatever is away; the figures that could not be read are left out."""

    def __init__(
        self,
        app: App,
        readiness: Readiness,
        is_stopping: Callable[[], bool],
        lane_stats: Callable[[], Mapping[str, LaneStats]],
    ) -> None:
        self._app = app
        self._readiness = readiness
        self._is_stopping = is_stopping
        self._lane_stats = lane_stats
        self._text = SharedAnswer(self._read, CACHE_SECONDS)

    async def show(self, _request: Request) -> Response:
        return Response(await self._text.get(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _read(self) -> bytes:
        app = self._app
        servers = {server: state == "ok" for server, state in (await self._readiness.states()).items()}
        lanes = [lane.name for system in workers.enabled(app.settings) for lane in system.lanes]
        mongodb, redis = servers["mongodb"], servers["redis"]
        counts, stuck, dead, quarantined, outbox = await asyncio.gather(
            _answer("redis", redis, lambda: app.queue.counts(lanes)),
            _answer("mongodb", mongodb, lambda: count_stuck(app.database, app.collections)),
            _answer("mongodb", mongodb, app.shared.job_store.count_dead),
            _answer("mongodb", mongodb, app.shared.quarantine.count),
            _answer("mongodb", mongodb, app.shared.events.count_waiting),
        )
        readings = Readings(
            version=_version(),
            draining=self._is_stopping(),
            degraded=app.queue.health.degraded,
            servers=servers,
            lanes=counts or {},
            stats=self._lane_stats(),
            stuck=stuck or {},
            dead_letters=dead,
            quarantined=quarantined,
            outbox=outbox,
        )
        return exposition(readings)


async def _answer(server: str, answers: bool, ask: Callable[[], Awaitable[T]]) -> T | None:
    """None when the server is known not to answer, or does not do so in time; a query that takes too long ends in
    MongoDB as well."""
    if not answers:
        return None
    try:
        with pymongo.timeout(READ_TIMEOUT):
            async with asyncio.timeout(READ_TIMEOUT):
                return await ask()
    except AWAY as error:
        log.warning("metrics.incomplete", server=server, error=f"{type(error).__name__}: {error}")
        return None


def _version() -> str:
    try:
        return metadata.version("pipeline-engine")
    except metadata.PackageNotFoundError:  # run from its source
        return "unknown"
