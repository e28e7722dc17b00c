"""Redis, S3 and the General Socket service: whether each one answers and works as the engine needs it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from redis.exceptions import RedisError

from pipeline_engine import workers
from pipeline_engine.app import open_redis, reason_of
from pipeline_engine.cli.daemons import count_daemons
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.clock import Clock
from pipeline_engine.errors import EngineError, Transient
from pipeline_engine.lanes import Codec, LaneQueue
from pipeline_engine.providers.from_settings import storage_of
from pipeline_engine.providers.socket_client import SocketClient
from pipeline_engine.providers.tokens import ServiceTokens
from pipeline_engine.settings import Settings

SOCKET_TIMEOUT = 5.0
"""Seconds that the socket service gets to let the engine in."""


async def check_redis(settings: Settings) -> list[Finding]:
    """Whether Redis answers and keeps its keys, whether daemons run, and which lanes are paused."""
    async with AsyncExitStack() as stack:
        try:
            redis = await open_redis(settings, stack)
            # No job is written or read here, so any key does for the digest.
            queue = LaneQueue(redis, Codec(bytes(32)), prefix=settings.redis_prefix)
            await queue.check()
            return [
                eviction(await redis.info()),
                running(await count_daemons(redis, queue)),
                paused([lane for lane, count in (await queue.counts(list(workers.lanes()))).items() if count.paused]),
            ]
        except EngineError as error:
            return [Finding.failure("Redis", str(error))]
        except RedisError as error:
            return [Finding.failure("Redis", f"refuses a command: {reason_of(error)}: correct the rights of its user")]


def eviction(info: Mapping[str, Any]) -> Finding:
    """From Redis' INFO. A server that may drop keys when it is full loses jobs, until a sweep finds the work again."""
    version = f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}"
    policy, limit = info.get("maxmemory_policy", "noeviction"), info.get("maxmemory", 0)
    if limit and policy != "noeviction":
        return Finding.warning("Redis", f"{version}, maxmemory-policy {policy} drops jobs when full: set noeviction")
    return Finding.ok("Redis", f"{version}, drops nothing")


def running(count: int) -> Finding:
    if count:
        return Finding.ok("daemons", f"{count} running")
    return Finding.warning("daemons", "none runs on this Redis: start `arq pipeline_engine.WorkerSettings`")


def paused(lanes: list[str]) -> Finding:
    if lanes:
        return Finding.warning("lanes", f"paused: {', '.join(lanes)}; `queues resume LANE` lets one go on")
    return Finding.ok("lanes", "none is paused")


async def check_s3(settings: Settings) -> list[Finding]:
    """Whether S3 answers, accepts the keys and has the bucket."""
    try:
        async with storage_of(settings) as storage:
            await storage.check()
    except Transient as error:
        return [Finding.failure("S3", f"{error}: start it or correct S3_ENDPOINT_URL")]
    except EngineError as error:  # its message names the setting
        return [Finding.failure("S3", str(error))]
    return [Finding.ok("S3", f"bucket {settings.s3_bucket} at {settings.s3_endpoint_url or 'Amazon'}")]


async def check_sockets(settings: Settings) -> list[Finding]:
    """Whether the General Socket service accepts the engine's token."""
    if settings.socket_url is None:
        return [Finding.ok("sockets", "no SOCKET_URL: events are logged only")]
    if settings.app_secret is None:
        return []  # a finding among the settings says so
    try:
        token = ServiceTokens(settings.app_secret.get_secret_value(), Clock()).for_service()
        client = await SocketClient.connect(settings.socket_url, settings.socket_path, token, SOCKET_TIMEOUT)
    except Exception as error:  # the library lets out many kinds of error when an answer is malformed
        reason = f"the service at SOCKET_URL does not let the engine in: {reason_of(error)}"
        return [Finding.failure("sockets", f"{reason}: start it or correct SOCKET_URL, SOCKET_PATH or APP_SECRET")]
    await client.close()
    return [Finding.ok("sockets", f"the service at {settings.socket_url} lets the engine in")]
