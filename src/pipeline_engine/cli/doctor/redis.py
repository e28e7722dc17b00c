"""Redis: whether it answers and keeps what it is given, who listens, and which lanes are paused."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from redis.exceptions import RedisError

from pipeline_engine.app import open_redis
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.cli.presence import daemons
from pipeline_engine.errors import EngineError
from pipeline_engine.lanes import LANES, Codec, LaneQueue
from pipeline_engine.settings import Settings


async def check(settings: Settings) -> list[Finding]:
    async with AsyncExitStack() as stack:
        try:
            redis = await open_redis(settings, stack)
            # Nothing is put in or read, so any key will do for the digest.
            queue = LaneQueue(redis, Codec(bytes(32)), prefix=settings.redis_prefix)
            return [
                server(await redis.info()),
                running(await daemons(redis, queue)),
                paused([lane for lane, held in (await queue.counts(list(LANES))).items() if held.paused]),
            ]
        except (EngineError, RedisError) as error:
            return [Finding.failure("Redis", str(error))]


def server(info: Mapping[str, Any]) -> Finding:
    """What INFO tells; a server that may drop keys when it is full loses jobs, until a sweep finds the work again."""
    version = f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}"
    policy, most = info.get("maxmemory_policy", "noeviction"), info.get("maxmemory", 0)
    if most and policy != "noeviction":
        return Finding.warning("Redis", f"{version}, maxmemory-policy {policy} drops jobs when full: set noeviction")
    return Finding.ok("Redis", f"{version}, drops nothing")


def running(count: int) -> Finding:
    if count:
        return Finding.ok("daemons", f"{count} running")
    return Finding.warning("daemons", "none runs on this Redis")


def paused(lanes: list[str]) -> Finding:
    if lanes:
        return Finding.warning("lanes", f"paused: {', '.join(lanes)}; `queues resume LANE` lets one go on")
    return Finding.ok("lanes", "none is paused")
