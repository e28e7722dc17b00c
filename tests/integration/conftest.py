"""The engine on real servers, inside the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from pipeline_engine import settings
from pipeline_engine.app import App, open_app
from pipeline_engine.repos.indexes import create_indexes
from pipeline_engine.settings import Settings
from tests.world import World


@pytest.fixture
def environment(servers: dict[str, str], mongo_url: str, redis_prefix: str) -> dict[str, str]:
    """The settings of a daemon that has its own database and its own Redis keys."""
    secret = "a secret of thirty-two bytes or more"
    return {**servers, "MONGO_URL": mongo_url, "REDIS_PREFIX": redis_prefix, "APP_SECRET": secret}


@pytest.fixture
def world(environment: dict[str, str]) -> Iterator[World]:
    world = World(environment)
    yield world
    world.close()


@pytest.fixture
def configured(environment: dict[str, str]) -> Settings:
    return settings.from_environment(environment)


@pytest.fixture
async def app(configured: Settings) -> AsyncIterator[App]:
    async with open_app(configured) as app:
        await create_indexes(app.database)
        yield app
