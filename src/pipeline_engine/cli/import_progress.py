"""A progress bar of a running import, the figures in it, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import typer
from bson import ObjectId
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.daemons import count_daemons, no_daemon
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.imports.control import look_up
from pipeline_engine.domain.imports.finish import rows_in_all
from pipeline_engine.domain.imports.options import is_dry_run
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import OPEN, UPLOADING

SWEEP = "deals.import"
POLL_SECONDS = 0.2
"""Time between two reads of the import; its coordinator stores the progress once a second."""
DONE = ("rows_added", "rows_updated", "rows_skipped", "rows_failed")


async def follow(app: App[ImportRepos], import_id: ObjectId, screen: Screen) -> Mapping[str, Any]:
    """The queue document of the import once it has ended. Shows a bar until then; without a terminal, one last line.

    Raises: Permanent `not_found`.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), _Rows(), _Speed(), TimeRemainingColumn())
    first = await look_up(app, import_id)
    with Progress(*columns, console=screen.console) as bar:
        # What was done before this look counts as rows, but not as speed.
        task = bar.add_task("pending", total=None, completed=rows_done(first.get("progress") or {}))
        while True:
            queue = await look_up(app, import_id)
            _update(bar, task, queue)
            if queue["status"] not in (*OPEN, UPLOADING):
                return queue
            await asyncio.sleep(POLL_SECONDS)


def watch(import_id: ObjectId) -> int:
    """Follow an import to its end and print how it ended. Returns the exit code."""
    screen = Screen()

    async def work(app: App) -> Mapping[str, Any]:
        if not await count_daemons(app.redis, app.queue):
            typer.echo(no_daemon(SWEEP), err=True)
        return await follow(app.with_repos(ImportRepos.open), import_id, screen)

    queue = session.with_app(work)
    screen.line(summary(queue))
    return 0 if queue["status"] == "completed" else session.FAILED


def summary(queue: Mapping[str, Any]) -> str:
    """How an import ended, in one line; after a retry its time and speed are those of the retry."""
    progress, seconds = queue.get("progress") or {}, seconds_taken(queue)
    figures = f"{progress.get('rows_added', 0):,} rows added, {progress.get('rows_failed', 0):,} failed"
    if skipped := progress.get("rows_skipped", 0):
        figures += f", {skipped:,} skipped"
    speed = f", {rows_since_retry(queue) / seconds:,.0f} rows/s" if seconds else ""
    why = f": {queue['error']}" if queue.get("error") else ""
    dry = " (a dry run: nothing was created)" if is_dry_run(queue) else ""
    return f"{queue['status']}{why}; {figures}{dry} in {seconds:,.1f} s{speed}"


def rows_done(progress: Mapping[str, int]) -> int:
    """Rows that were added, updated, skipped or failed."""
    return sum(progress.get(name, 0) for name in DONE)


def rows_since_retry(queue: Mapping[str, Any]) -> int:
    """As `rows_done`, without those that were done when the import was last retried."""
    return max(0, rows_done(queue.get("progress") or {}) - (queue.get("rows_before") or 0))


def seconds_taken(queue: Mapping[str, Any]) -> float:
    """Seconds from the start of the import, or of its last retry, to its end; 0 when it never started."""
    if not queue.get("started_at") or not queue.get("completed_at"):
        return 0.0
    return float((queue["completed_at"] - queue["started_at"]).total_seconds())


def _update(bar: Progress, task: TaskID, queue: Mapping[str, Any]) -> None:
    progress = queue.get("progress") or {}
    bar.update(task, description=queue["status"], completed=rows_done(progress), total=rows_in_all(progress))


class _Rows(ProgressColumn):
    def render(self, task: Task) -> Text:
        of = f" of {task.total:,.0f}" if task.total is not None else ""
        return Text(f"{task.completed:,.0f}{of} rows")


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} rows/s" if speed else "")
