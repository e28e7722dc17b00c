"""`run-once`: makes one pass of some sweeps and prints one table."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from pipeline_engine import gc_tuning, malloc_tuning
from pipeline_engine.cli import session
from pipeline_engine.run_once import Pass, Result, run_once

COLUMNS = ("sweep", "units", "jobs", "succeeded", "failed", "busy", "seconds")


def command(
    sweeps: Annotated[list[str] | None, typer.Argument(help="Names of sweeps; none: all that are switched on.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Run sweeps once, and the jobs that they dispatch. Exit code 1: a job failed."""
    done = asyncio.run(_work(sweeps or []))
    ok = not any(result.failed for result in done.results)
    if as_json:
        rows = [_row(result) for result in done.results]
        print(json.dumps({"ok": ok, "sweeps": rows, "events_waiting": done.events_waiting}))  # noqa: T201
    else:
        Console().print(table(done.results))
        if done.events_waiting:
            Console().print(f"{done.events_waiting} socket events could not be delivered: a daemon goes on with them")
    raise typer.Exit(0 if ok else session.FAILED)


async def _work(sweeps: Sequence[str]) -> Pass:
    gc_tuning.collect_less()
    malloc_tuning.return_large_blocks()
    return await run_once(session.configured(), sweeps)


def _row(result: Result) -> dict[str, Any]:
    return {name: value for name, value in asdict(result).items() if value is not None}


def table(results: Sequence[Result]) -> Table:
    """One row per sweep."""
    table = Table(*COLUMNS)
    for result in results:
        row = [str(value) for value in list(asdict(result).values())[: len(COLUMNS)]]
        table.add_row(*row) if result.skipped is None else table.add_row(result.name, result.skipped)
    return table
