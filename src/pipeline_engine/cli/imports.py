"""`imports`: deal imports from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli import import_submit, session
from pipeline_engine.cli.arguments import Account, AsJson, Newest, read_account, read_id
from pipeline_engine.cli.daemons import request
from pipeline_engine.cli.import_progress import watch
from pipeline_engine.cli.import_words import facts_of, listed, shown_preview, shown_report
from pipeline_engine.cli.screen import Screen, json_line
from pipeline_engine.domain.imports.control import cancel, look_up, replace_file, retry
from pipeline_engine.domain.imports.preview import preview
from pipeline_engine.ids import object_id
from pipeline_engine.repos.import_repos import ImportRepos

SWEEP = "deals.import"

Document = Mapping[str, Any]
ImportId = Annotated[str, typer.Argument(metavar="ID", help="The `_id` of its queue document.")]
NewFile = Annotated[
    Path | None,
    typer.Option("--file", exists=True, dir_okay=False, readable=True, help="Upload this file in its place first."),
]

program = typer.Typer(help="Deal imports: list, show, preview, watch, retry, submit.", invoke_without_command=True)


@program.callback()
def default(context: typer.Context) -> None:
    """Deal imports: list (also without a word), show, preview, watch, cancel, retry, submit."""
    if context.invoked_subcommand is None:
        list_imports()


@program.command("list")
def list_imports(account: Account = None, limit: Newest = 20) -> None:
    """The latest imports."""
    account_id = read_account(account)
    found = session.with_app(lambda app: app.with_repos(ImportRepos.open).repos.imports.latest(limit, account_id))
    listed(Screen(), found)


@program.command("show")
def show_import(id: ImportId) -> None:
    """Status, figures, how the file was read, and the row errors."""
    import_id = read_id(id)

    async def work(connected: App) -> tuple[Document, Document, float | None]:
        app = connected.with_repos(ImportRepos.open)
        queue = await look_up(app, import_id)
        account_id = object_id(queue.get("account_id"))
        if account_id is None:
            return queue, {}, None
        total, deals = await app.repos.chunks.value_total(account_id, import_id)
        report = await app.repos.csv_imports.of_import(account_id, import_id) or {}
        return queue, report, total if deals else None

    queue, report, total = session.with_app(work)
    screen = Screen()
    screen.facts(facts_of(queue, total))
    shown_report(screen, report)


@program.command("preview")
def preview_import(id: ImportId, as_json: AsJson = False) -> None:
    """What the first 20 rows of a file would become.

    Shows how it is read, too; nothing is written. Exit code 1: there is no such import, or it would be refused."""
    import_id = read_id(id)
    found = session.with_app(lambda app: preview(app.with_repos(ImportRepos.open), import_id))
    if as_json:
        typer.echo(json_line(found))
    else:
        shown_preview(Screen(), found)
    if found.refusal:
        raise typer.Exit(session.FAILED)


@program.command("watch")
def watch_import(id: ImportId) -> None:
    """Follow an import to its end. Exit code 0: completed; 1: failed or cancelled."""
    raise typer.Exit(watch(read_id(id)))


@program.command("cancel")
def cancel_import(id: ImportId) -> None:
    """End an import before its last row. Rows that are done stay."""
    import_id = read_id(id)
    line = f"import {import_id} is {{}} and will be cancelled"
    request(lambda app: cancel(app.with_repos(ImportRepos.open), import_id), SWEEP, line.format)


@program.command("retry")
def retry_import(id: ImportId, file: NewFile = None) -> None:
    """Take up an import that failed or was cancelled.

    Rows that are done stay done; a file that was replaced is read behind them."""
    import_id = read_id(id)
    request(lambda app: _retry(app, import_id, file), SWEEP, lambda _: f"import {import_id} is pending again")


async def _retry(connected: App, import_id: ObjectId, file: Path | None) -> None:
    app = connected.with_repos(ImportRepos.open)
    if file:
        with file.open("rb") as stream:
            await replace_file(app, import_id, import_submit.blocks(stream))
    await retry(app, import_id)


program.command("submit")(import_submit.command)
