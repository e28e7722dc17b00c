"""`quarantine`: the documents that the engine has set aside: list, show, release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.arguments import read_id
from pipeline_engine.cli.daemons import request
from pipeline_engine.cli.screen import Screen
from pipeline_engine.errors import Permanent

COLUMNS = ("id", "collection", "document", "account", "count", "last seen", "reason")
FACTS = ("collection", "document_id", "account_id", "first_seen", "last_seen", "count")

program = typer.Typer(help="Documents that were set aside: list, show, release.", invoke_without_command=True)

QuarantineId = Annotated[str, typer.Argument(metavar="ID", help="The `id` that `quarantine list` shows.")]


@program.callback()
def default(context: typer.Context) -> None:
    """Documents that were set aside: list (also without a word), show, release."""
    if context.invoked_subcommand is None:
        show_all()


@program.command("list")
def show_all(limit: Annotated[int, typer.Option(min=1, help="How many, the last seen first.")] = 50) -> None:
    """The documents that cannot be claimed, decoded or ended. No sweep finds them."""
    rows = [_row(one) for one in session.with_app(lambda app: app.shared.quarantine.latest(limit))]
    screen = Screen()
    screen.table(COLUMNS, rows) if rows else screen.line("nothing is in quarantine")


@program.command()
def show(id: QuarantineId) -> None:
    """Everything about one of them."""
    entry_id = read_id(id)
    entry = session.with_app(lambda app: app.shared.quarantine.get(entry_id))
    if entry is None:
        session.leave(_absent(id), session.FAILED)
    facts = [(name.replace("_", " "), entry.get(name)) for name in FACTS]
    Screen().facts([("id", entry["_id"]), *facts, ("reason", logs.clean(str(entry.get("reason"))))])


@program.command()
def release(id: QuarantineId) -> None:
    """Let the sweep try the document again, once its fault is mended."""
    entry_id = read_id(id)

    async def work(app: App) -> Mapping[str, Any]:
        entry = await app.shared.quarantine.get(entry_id)
        if entry is None:
            raise Permanent(_absent(id), "not_found")
        await app.shared.quarantine.release(entry_id)
        return entry

    request(work, "", lambda entry: f"{entry['collection']} {entry['document_id']} is tried again by the next sweep")


def _absent(id: str) -> str:
    return f"there is no {id} in quarantine"


def _row(entry: Mapping[str, Any]) -> tuple[object, ...]:
    about = (entry.get(name) for name in ("collection", "document_id", "account_id", "count", "last_seen"))
    return (entry["_id"], *about, logs.clean(str(entry.get("reason"))))
