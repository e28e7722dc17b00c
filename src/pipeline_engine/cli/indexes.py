"""`indexes`: creates the indexes that the queries need."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from pipeline_engine import workers
from pipeline_engine.app import open_mongo
from pipeline_engine.cli import session
from pipeline_engine.cli.screen import Screen
from pipeline_engine.repos.indexes import create_indexes


def command() -> None:
    """Create the indexes that the queries need, and list them. Doing it again changes nothing."""
    created = asyncio.run(_create())
    Screen().table(("collection", "indexes"), [(name, ", ".join(names)) for name, names in created.items()])


async def _create() -> dict[str, list[str]]:
    async with AsyncExitStack() as stack:
        configured = session.configured()
        return await create_indexes(await open_mongo(configured, stack), workers.collections(configured))
