"""`/healthz`: the process lives. `/readyz`: it can work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import JSONResponse

from pipeline_engine import logs
from pipeline_engine.admin.shared_answer import SharedAnswer
from pipeline_engine.app import App
from pipeline_engine.errors import EngineError, Unreachable

ANSWER_TIMEOUT = 5.0
"""Seconds that a server gets to answer."""
CACHE_SECONDS = 2.0
"""How long an answer is reused: a load balancer that asks all the time does not reach the servers each time."""
AWAY = (EngineError, PyMongoError, RedisError, OSError)

log = logs.get(__name__)


async def live(_request: Request) -> JSONResponse:
    """200 as long as the process answers at all."""
    return JSONResponse({"status": "ok"})


class Readiness:
    """200 when every server answers and the daemon takes work, else 503 with the reason; details are in the log."""

    def __init__(self, app: App, is_stopping: Callable[[], bool]) -> None:
        self._app = app
        self._is_stopping = is_stopping
        self._states = SharedAnswer(self._ask, CACHE_SECONDS)

    async def ready(self, _request: Request) -> JSONResponse:
        if self._is_stopping():
            return JSONResponse({"daemon": "draining"}, 503)
        states = await self.states()
        return JSONResponse(states, 200 if set(states.values()) == {"ok"} else 503)

    async def states(self) -> Mapping[str, str]:
        """{server: `ok`, or one word for what is wrong with it}."""
        return await self._states.get()

    async def _ask(self) -> Mapping[str, str]:
        app = self._app
        asked: dict[str, Awaitable[object]] = {"mongodb": app.server.now(), "redis": app.queue.check()}
        if app.settings.s3_access_key_id:  # a deployment without imports and clones has no S3
            asked["s3"] = app.storage.check()
        states = await asyncio.gather(*(_state(*one) for one in asked.items()))
        return dict(zip(asked, states, strict=True))


async def _state(name: str, answer: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            await answer
    except AWAY as error:
        log.warning("health_check.failed", server=name, error=f"{type(error).__name__}: {error}")
        return error.state if isinstance(error, Unreachable) else "away"
    return "ok"
