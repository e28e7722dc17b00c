"""Detects that Redis has lost its data. MongoDB sends no change for jobs that only waited in Redis.

Pauses of lanes are restored at every check: a replica that took over may have the mark and lack a pause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any

from pipeline_engine import lane_pauses, logs
from pipeline_engine.app import App
from pipeline_engine.errors import Unreachable

FRUGAL_CHECK_SECONDS = 1800.0
"""Between two checks in the frugal profile, where every Redis command is paid for. Sweeps also look by themselves."""

log = logs.get(__name__)


async def watch_for_redis_loss(app: App, wake_ups: Collection[Callable[[Any], None]]) -> None:
    """Restore the pauses of lanes; wake every sweep whenever this daemon's mark is missing from Redis, or may have been
    missing. Runs until cancelled, or until MongoDB is away, which raises PyMongoError."""
    every = FRUGAL_CHECK_SECONDS if app.settings.profile == "frugal" else app.settings.heartbeat_seconds
    mark_is_known = False
    while True:
        try:
            is_new = await app.queue.mark(app.owner)
            await lane_pauses.restore(app)
        except Unreachable:
            # Redis may return without its data, and a call that timed out may still set the mark.
            mark_is_known = False
        else:
            if is_new or not mark_is_known:
                log.info("redis.loss_suspected", sweeps=len(wake_ups))
                for wake_up in wake_ups:
                    wake_up(None)
            mark_is_known = True
        await _rest(app, every)


async def _rest(app: App, seconds: float) -> None:
    """Wait `seconds`, or a heartbeat when the lanes met a Redis that was away: it may have returned without its data.

    The lanes know it from their own connections, so that a Redis that bills commands is not asked.
    """
    started, passed = time.monotonic(), 0.0
    while passed < seconds and app.queue.health.steady_for >= passed:
        await asyncio.sleep(min(app.settings.heartbeat_seconds, seconds - passed))
        passed = time.monotonic() - started
