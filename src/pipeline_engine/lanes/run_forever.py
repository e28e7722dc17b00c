"""Keeps a loop going whatever happens to Redis or inside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import random

from pipeline_engine import logs
from pipeline_engine.lanes.backoff import Backoff
from pipeline_engine.lanes.connection import AWAY
from pipeline_engine.lanes.health import Health

log = logs.get(__name__)

# Short enough that work goes on within a second or two of Redis' return.
RECONNECT = Backoff.doubling(0.05, longest=1.0)


async def run_forever(name: str, health: Health, turn: Callable[[], Awaitable[bool]]) -> None:
    """Call `turn` until it says False. Errors are reported, waited off and never get out."""
    failures = 0
    while True:
        try:
            go_on = await turn()
            failures = 0
            health.worked(name)
            if not go_on:
                return
        except Exception as error:
            failures += 1
            health.failed(name, error)
            if not isinstance(error, AWAY):
                log.exception("loop.failed", loop=name)
            await asyncio.sleep(RECONNECT.delay(failures, random))
