"""A queue on the shared Redis, and crews that are drained at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from pipeline_engine.lanes import Handler, Lane, LaneQueue, WorkerPool, connect
from tests.integration.lanes.stage import CODEC, Book

Crews = Callable[..., Awaitable[WorkerPool[None]]]


@pytest.fixture
def redis_url(servers: dict[str, str]) -> str:
    return servers["REDIS_URL"]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with connect(redis_url) as client:
        yield client


@pytest.fixture
async def queue(redis: Redis, redis_prefix: str) -> LaneQueue:
    return LaneQueue(redis, CODEC, redis_prefix)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
async def crews(redis_url: str, queue: LaneQueue, book: Book) -> AsyncIterator[Crews]:
    """Start a worker_pool on one lane: `await crews(lane, {"name": handler}, lease=..., ...)`.

    It never polls unless the test says so: what happens, happens by events.
    """
    started: list[WorkerPool[None]] = []

    async def start(
        lane: Lane, handlers: Mapping[str, Handler[None]], url: str = redis_url, **options: Any
    ) -> WorkerPool[None]:
        options = {"queue": queue, "store": book, "look_every": 300.0, **options}
        worker_pool = WorkerPool(url, lanes=[lane], handlers=handlers, app=None, **options)
        started.append(worker_pool)
        await worker_pool.start()
        return worker_pool

    yield start
    for worker_pool in started:
        await worker_pool.drain(grace=0)
