"""`indexes`: creates the indexes that the queries need."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import typer

from pipeline_engine import workers
from pipeline_engine.app import open_mongo
from pipeline_engine.cli import session
from pipeline_engine.cli.screen import Screen
from pipeline_engine.repos.indexes import IndexReport, create_indexes


def command() -> None:
    """Create the indexes that the queries need, and list them. Doing it again changes nothing.

    Exit code 1: MongoDB does not create one; which documents clash stands below the list.
    """
    report = asyncio.run(_create())
    screen = Screen()
    screen.table(("collection", "indexes"), [(name, ", ".join(names)) for name, names in report.created.items()])
    for problem in report.problems:
        screen.line(f"not created: {problem}", "bold red")
    if report.problems:
        raise typer.Exit(session.FAILED)


async def _create() -> IndexReport:
    async with AsyncExitStack() as stack:
        configured = session.configured()
        return await create_indexes(await open_mongo(configured, stack), workers.collections(configured))
