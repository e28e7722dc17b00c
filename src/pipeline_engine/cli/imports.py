"""`imports`: deal imports from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import import_submit, session
from pipeline_engine.cli.arguments import Account, Newest, read_account, read_id
from pipeline_engine.cli.daemons import count_daemons, no_daemon, request
from pipeline_engine.cli.import_progress import follow, rows_done, seconds_taken
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.imports.control import cancel, look_up, retry
from pipeline_engine.ids import object_id
from pipeline_engine.repos.import_repos import ImportRepos

SWEEP = "deals.import"
MAX_ERRORS = 10
"""Row errors that `show` prints."""
COLUMNS = ("id", "status", "account", "file", "rows", "added", "failed", "created", "error")
ERROR_COLUMNS = ("row", "line", "column", "code", "why")

Document = Mapping[str, Any]
ImportId = Annotated[str, typer.Argument(metavar="ID", help="The `_id` of its queue document.")]

program = typer.Typer(help="Deal imports: list, show, watch, cancel, retry, submit.", invoke_without_command=True)


@program.callback()
def default(context: typer.Context) -> None:
    """Deal imports: list (also without a word), show, watch, cancel, retry, submit."""
    if context.invoked_subcommand is None:
        list_imports()


@program.command("list")
def list_imports(account: Account = None, limit: Newest = 20) -> None:
    """The latest imports."""
    account_id = read_account(account)
    found = session.with_app(lambda app: app.with_repos(ImportRepos.open).repos.imports.latest(limit, account_id))
    Screen().table(COLUMNS, map(_row, found))


@program.command("show")
def show_import(id: ImportId) -> None:
    """Status, figures, dialect and the first row errors of an import."""
    import_id = read_id(id)

    async def work(connected: App) -> tuple[Document, Document | None]:
        app = connected.with_repos(ImportRepos.open)
        queue = await look_up(app, import_id)
        account_id = object_id(queue.get("account_id"))
        return queue, await app.repos.csv_imports.of_import(account_id, import_id) if account_id else None

    queue, report = session.with_app(work)
    screen = Screen()
    screen.facts(_facts(queue))
    logs = (report or {}).get("logs", [])
    if logs:
        screen.line()
        screen.line(f"The first {min(MAX_ERRORS, len(logs))} errors:")
        screen.table(ERROR_COLUMNS, map(_error, logs[:MAX_ERRORS]))


@program.command("watch")
def watch_import(id: ImportId) -> None:
    """Follow an import to its end. Exit code 0: completed; 1: failed or cancelled."""
    import_id = read_id(id)
    screen = Screen()

    async def work(app: App) -> Document:
        if not await count_daemons(app.redis, app.queue):
            typer.echo(no_daemon(SWEEP), err=True)
        return await follow(app.with_repos(ImportRepos.open), import_id, screen)

    queue = session.with_app(work)
    screen.line(summary(queue))
    raise typer.Exit(0 if queue["status"] == "completed" else session.FAILED)


@program.command("cancel")
def cancel_import(id: ImportId) -> None:
    """End an import before its last row. Rows that are done stay."""
    import_id = read_id(id)
    line = f"import {import_id} is {{}} and will be cancelled"
    request(lambda app: cancel(app.with_repos(ImportRepos.open), import_id), SWEEP, line.format)


@program.command("retry")
def retry_import(id: ImportId) -> None:
    """Take up an import that failed or was cancelled. Rows that are done stay."""
    import_id = read_id(id)
    request(
        lambda app: retry(app.with_repos(ImportRepos.open), import_id),
        SWEEP,
        lambda _: f"import {import_id} is pending again",
    )


program.command("submit")(import_submit.command)


def summary(queue: Document) -> str:
    """How an import ended, in one line."""
    progress, seconds = queue.get("progress") or {}, seconds_taken(queue)
    figures = f"{progress.get('rows_added', 0):,} rows added, {progress.get('rows_failed', 0):,} failed"
    speed = f", {rows_done(progress) / seconds:,.0f} rows/s" if seconds else ""
    why = f": {queue['error']}" if queue.get("error") else ""
    return f"{queue['status']}{why}; {figures} in {seconds:,.1f} s{speed}"


def _row(queue: Document) -> tuple[object, ...]:
    progress = queue.get("progress") or {}
    figures = (progress.get(name) for name in ("rows_read", "rows_added", "rows_failed"))
    created = queue.get("createdAt") or queue["_id"].generation_time
    who = (queue["_id"], queue["status"], queue.get("account_id"), _file(queue).get("name"))
    return (*who, *figures, created, queue.get("error"))


def _error(log: Document) -> tuple[object, ...]:
    # The cells of the row are left out: they are the tenant's data.
    return (log["position"], log["line"], log["column"], log["code"], log["additional_info"])


def _facts(queue: Document) -> list[tuple[str, object]]:
    options = queue.get("additional_data") or {}
    words = ("attempts", "started_at", "completed_at", "error", "error_csv_key")
    figures = (queue.get("progress") or {}).items()
    return [
        ("id", queue["_id"]),
        ("status", _status(queue)),
        ("account", queue.get("account_id")),
        ("user", queue.get("user_id")),
        ("pipeline", options.get("pipeline_id")),
        ("file", _file(queue).get("name")),
        ("key", _file(queue).get("key")),
        ("dialect", ", ".join(f"{name} {value!r}" for name, value in (queue.get("dialect") or {}).items())),
        *((name.replace("_", " "), value) for name, value in figures),
        *((name.replace("_", " "), queue.get(name)) for name in words),
        *(("warning", warning) for warning in (queue.get("plan") or {}).get("warnings", [])),
    ]


def _file(queue: Document) -> Document:
    return next(iter(queue.get("csv") or []), {})


def _status(queue: Document) -> str:
    asked = queue.get("cancel_requested") and queue["status"] in ("pending", "processing")
    return f"{queue['status']}, to be cancelled" if asked else str(queue["status"])
