"""Whether the process lives, and whether it can work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

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
AWAY = (EngineError, PyMongoError, RedisError, OSError)

log = logs.get(__name__)


async def live(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def ready(app: App) -> JSONResponse:
    """200 when every server answers, else 503; which one is away is told, why is in the log."""
    asked: dict[str, Awaitable[object]] = {
        "mongodb": app.server.now(),
        "redis": app.queue.counts([LANE]),
        "s3": app.storage.check(),
    }
    states = dict(zip(asked, await asyncio.gather(*(_state(*one) for one in asked.items())), strict=True))
    return JSONResponse(states, 200 if set(states.values()) == {"ok"} else 503)


async def _state(name: str, answer: Awaitable[object]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await answer
    except AWAY as error:
        log.warning("server away", server=name, error=error)
        return "away"
    return "ok"
