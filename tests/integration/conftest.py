"""The engine on real servers, inside the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
from bson import ObjectId

from pipeline_engine import settings
from pipeline_engine.run_once import Result, run_once
from pipeline_engine.settings import Settings
from pipeline_engine.watcher import watch
from tests.support.engine_app import EngineApp, open_app
from tests.support.eventually import eventually
from tests.support.stand_ins.endpoint import Endpoint


@pytest.fixture
def configured(environment: dict[str, str]) -> Settings:
    return settings.from_environment(environment)


@pytest.fixture
async def app(configured: Settings) -> AsyncIterator[EngineApp]:
    async with open_app(configured) as app:  # the database is lent with its indexes
        yield app


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """A tenant's endpoint, which receives webhooks."""
    async with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture
async def listening(app: EngineApp) -> AsyncIterator[EngineApp]:
    """An engine that hears of changes, as the daemon does."""
    task = asyncio.create_task(watch(app, {}))
    await eventually(lambda: app.changes.complete_since(ObjectId()) is not None, "the change stream is open", 10)
    yield app
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class RunImports(Protocol):
    """`run-once deals.import` in this process; keywords change settings."""

    async def __call__(self, **changes: object) -> Result: ...


@pytest.fixture
def run_imports(configured: Settings) -> RunImports:
    async def run(**changes: object) -> Result:
        (result,) = (await run_once(configured.model_copy(update=changes), ["deals.import"])).results
        return result

    return run


class RunClones(Protocol):
    """`run-once funnels.clone` in this process; keywords change settings."""

    async def __call__(self, **changes: object) -> Result: ...


@pytest.fixture
def run_clones(configured: Settings) -> RunClones:
    async def run(**changes: object) -> Result:
        (result,) = (await run_once(configured.model_copy(update=changes), ["funnels.clone"])).results
        return result

    return run
