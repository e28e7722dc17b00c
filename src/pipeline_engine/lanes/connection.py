"""Redis clients and the time limit of their calls. An absent or hanging server shows as an error within 10 s."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from pipeline_engine.errors import ConfigError, Unreachable
from pipeline_engine.lanes import sentinel
from pipeline_engine.lanes.redis_problem import problem_of

CONNECT_TIMEOUT = 2.0
ANSWER_TIMEOUT = 5.0
CALL_TIMEOUT = 10.0


def call_timeout() -> asyncio.Timeout:
    """Limits one call to CALL_TIMEOUT, reconnecting and retries included: `async with call_timeout():`.

    The time-outs of the clients alone do not: redis-py applies them to each answer, and a new connection waits for
    several answers before the first command; a retry starts all over.
    """
    return asyncio.timeout(CALL_TIMEOUT)


@asynccontextmanager
async def reachable() -> AsyncIterator[None]:
    """Limits the calls inside to CALL_TIMEOUT together.

    Raises: Unreachable when Redis does not answer in time, or answers as a replica, loading, full or not permitted.
    """
    try:
        async with call_timeout():
            yield
    except (RedisError, OSError) as error:
        problem = problem_of(error)
        if problem is None:
            raise
        raise Unreachable(f"Redis (REDIS_URL) {problem.text}", problem.state) from error


def connect(url: str) -> Redis:
    """A client for commands that may run twice: it repeats them up to three times when the connection breaks.

    Raises: ConfigError when the URL is none.
    """
    return _client(
        url,
        socket_timeout=ANSWER_TIMEOUT,
        health_check_interval=30,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
        retry_on_error=[RedisConnectionError, ReadOnlyError],
    )


def connect_once(url: str, checks: bool = True) -> Redis:
    """A client for workers: it never repeats a command, because a claim whose answer was lost must not be repeated.

    With `checks` it sends a PING before a command when the connection was idle for 30 s.
    """
    # "Retry on error" with no retry: after READONLY the connection is closed, and the next one resolves the name anew.
    once = Retry(NoBackoff(), 0)
    return _client(
        url,
        socket_timeout=ANSWER_TIMEOUT,
        health_check_interval=30 if checks else 0,
        retry=once,
        retry_on_error=[ReadOnlyError],
    )


def connect_for_listening(url: str) -> Redis:
    """A client for pub/sub: reads have no time-out, and TCP keep-alive detects a dead peer within 30 s."""
    return _client(url, socket_timeout=None)


def _client(url: str, **options: Any) -> Redis:
    try:
        return sentinel.client(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_keepalive=True,
            socket_keepalive_options=_keepalive(idle=10, interval=5, count=3),
            **options,
        )
    except ValueError as error:
        raise ConfigError(f"REDIS_URL: given (not shown): {error}") from None


def _keepalive(idle: int, interval: int, count: int) -> dict[int, int]:
    # macOS names the idle time TCP_KEEPALIVE. An option that the platform lacks keeps the system's value.
    names = {"TCP_KEEPIDLE": idle, "TCP_KEEPALIVE": idle, "TCP_KEEPINTVL": interval, "TCP_KEEPCNT": count}
    return {getattr(socket, name): value for name, value in names.items() if hasattr(socket, name)}
