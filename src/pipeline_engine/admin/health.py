"""Whether the process lives, and whether it can work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.errors import EngineError
from pipeline_engine.lanes import LANES

LANE = next(iter(LANES))
PATIENCE = 5.0
"""Seconds that a server gets to answer."""
FRESH = 2.0
"""Seconds for which an answer is good: whoever asks all the time does not have the servers asked as often."""
AWAY = (EngineError, PyMongoError, RedisError, OSError)

log = logs.get(__name__)


async def live(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


class Readiness:
    """200 when every server answers, else 503; which one is away is told, why is in the log."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._asked = -FRESH
        self._states: asyncio.Task[Mapping[str, str]] | None = None

    async def ready(self, _request: Request) -> JSONResponse:
        if self._states is None or (self._states.done() and time.monotonic() > self._asked + FRESH):
            self._asked = time.monotonic()
            self._states = asyncio.create_task(self._ask())
        states = await asyncio.shield(self._states)
        return JSONResponse(states, 200 if set(states.values()) == {"ok"} else 503)

    async def _ask(self) -> Mapping[str, str]:
        app = self._app
        asked: dict[str, Awaitable[object]] = {"mongodb": app.server.now(), "redis": app.queue.counts([LANE])}
        if app.settings.s3_access_key_id:  # who only runs automations has none
            asked["s3"] = app.storage.check()
        states = await asyncio.gather(*(_state(*one) for one in asked.items()))
        return dict(zip(asked, states, strict=True))


async def _state(name: str, answer: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await answer
    except AWAY as error:
        log.warning("server away", server=name, error=f"{type(error).__name__}: {error}")
        return "away"
    return "ok"
