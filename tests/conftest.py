"""Real servers for all tests, started once, and a corner of them for each test."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from redis import Redis as RedisClient

from pipeline_engine import logs
from pipeline_engine.embedded import EmbeddedServers
from pipeline_engine.embedded.mongo import Mongo
from pipeline_engine.embedded.redis import Redis
from tests.support.databases import Databases
from tests.support.dovecot import Dovecot, start_dovecot
from tests.support.said import Said
from tests.support.world import World

MEMORY = Path("/dev/shm")  # noqa: S108 - Linux' file system in memory
ROOM = 8 * 2**30


# What takes long on a busy machine is no failure; tests of speed measure what they promise.
settings.register_profile("tests", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("tests")


def pytest_configure() -> None:
    """Servers that are thrown away need no disk: a busy one holds their ends up for up to a minute."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        tempfile.tempdir = os.environ["TMPDIR"] = str(MEMORY)


@pytest.fixture
def logging_put_back() -> Iterator[None]:
    """Logging is the process's: put back what `configure` changes."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers, level, logging.raiseExceptions = before
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def said(logging_put_back: None, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Everything that is logged from now on. No logger depends then on what earlier tests made of logging."""
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    logs.configure("DEBUG", "json")
    return heard.getvalue


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, str]]:
    """The settings of MongoDB, Redis, S3 and the two sinks, shared by the whole run."""
    with EmbeddedServers() as running:
        yield running.environment()


@pytest.fixture(scope="session")
def dovecot() -> Iterator[Dovecot]:
    """A mail server, shared by the whole run; every test has mailboxes of its own."""
    running = asyncio.run(start_dovecot())
    yield running
    asyncio.run(running.stop())


@pytest.fixture(scope="session")
def databases(servers: dict[str, str]) -> Iterator[Databases]:
    databases = Databases(servers["MONGO_URL"])
    yield databases
    databases.close()


@pytest.fixture
def mongo_url(servers: dict[str, str], databases: Databases) -> Iterator[str]:
    """A database of this test's own."""
    with databases.lend() as name:
        yield servers["MONGO_URL"].replace("/crm?", f"/{name}?")


@pytest.fixture
def redis_prefix(servers: dict[str, str]) -> Iterator[str]:
    """What this test's keys at REDIS_URL begin with; they are deleted at its end."""
    prefix = f"test:{secrets.token_hex(6)}:"
    yield prefix
    with RedisClient.from_url(servers["REDIS_URL"]) as client:
        for key in client.scan_iter(f"{prefix}*", count=1000):
            client.delete(key)


@pytest.fixture
def key_prefix() -> str:
    """What this test's objects in S3_BUCKET begin with; they go with the servers."""
    return f"test/{secrets.token_hex(6)}/"


@pytest.fixture
def environment(servers: dict[str, str], mongo_url: str, redis_prefix: str) -> dict[str, str]:
    """The settings of a daemon that has its own database and its own Redis keys."""
    secret = "a secret of thirty-two bytes or more"
    own = {"MONGO_URL": mongo_url, "REDIS_PREFIX": redis_prefix, "APP_SECRET": secret}
    return {**servers, **own, "ALLOW_PRIVATE_HOSTS": "true"}  # what tenants set points at stand-ins


@pytest.fixture
def world(environment: dict[str, str]) -> Iterator[World]:
    world = World(environment)
    yield world
    world.close()


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[Redis]:
    """A Redis of the test's own: empty it, stop it, start it again (same port, same data), pause it."""
    redis = Redis(tmp_path)
    await redis.start()
    yield redis
    await redis.stop(patience=0)


@pytest.fixture
async def own_mongo(tmp_path: Path) -> AsyncIterator[Mongo]:
    """A MongoDB of the test's own: step it down, stop it, start it again (same port, same data), pause it."""
    mongo = Mongo(tmp_path)
    await mongo.start()
    yield mongo
    await mongo.stop(patience=0)
