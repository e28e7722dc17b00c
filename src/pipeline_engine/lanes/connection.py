"""Redis clients. A lost or hanging server shows as an error within seconds, never as a call that does not come back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as NoAnswer

from pipeline_engine.errors import Unreachable

# What a server that is away, starting, full or a replica looks like. It passes; work rests until it has.
AWAY = (Lost, NoAnswer, OutOfMemoryError, ReadOnlyError, OSError)

CONNECT_TIMEOUT = 2.0
ANSWER_TIMEOUT = 5.0
LONGEST = 10.0
"""Seconds for a call with all its repeats: each new connection to a server that hangs asks several things in turn."""


@asynccontextmanager
async def reachable() -> AsyncIterator[None]:
    """Raises: Unreachable when Redis does not answer a call in time."""
    try:
        async with asyncio.timeout(LONGEST):
            yield
    except AWAY as error:
        raise Unreachable(f"Redis (REDIS_URL) does not answer: {type(error).__name__}: {error}") from error


def connect(url: str) -> Redis:
    """For commands that may run twice: repeated up to three times when the connection broke."""
    return _client(
        url,
        socket_timeout=ANSWER_TIMEOUT,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
        retry_on_error=[Lost],
    )


def connect_once(url: str) -> Redis:
    """For the workers: never repeated by the client, for a claim whose answer was lost must not be made again."""
    return _client(url, socket_timeout=ANSWER_TIMEOUT, health_check_interval=30)


def connect_for_listening(url: str) -> Redis:
    """For pub/sub: reads wait for ever, and TCP keep-alive finds a dead peer within half a minute."""
    return _client(url, socket_timeout=None)


def _client(url: str, **options: Any) -> Redis:
    client: Redis = Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_keepalive=True,
        socket_keepalive_options=_keepalive(idle=10, interval=5, count=3),
        **options,
    )
    return client


def _keepalive(idle: int, interval: int, count: int) -> dict[int, int]:
    # macOS spells the idle time TCP_KEEPALIVE; what a platform lacks keeps the system's value.
    names = {"TCP_KEEPIDLE": idle, "TCP_KEEPALIVE": idle, "TCP_KEEPINTVL": interval, "TCP_KEEPCNT": count}
    return {getattr(socket, name): value for name, value in names.items() if hasattr(socket, name)}
