"""`funnels`: clones of funnels from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.arguments import Account, Newest, read_account, read_id
from pipeline_engine.cli.daemons import request
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.funnels import control
from pipeline_engine.domain.funnels.control import find_clone, status_of
from pipeline_engine.repos.funnel_repos import FunnelRepos

SWEEP = "funnels.clone"
COLUMNS = ("id", "status", "account", "name", "steps", "done", "images", "forms", "runs failed", "error")
STEP_COLUMNS = ("step", "of", "state", "attempts", "last error")

Document = Mapping[str, Any]
FunnelId = Annotated[str, typer.Argument(metavar="ID", help="The `_id` of the new funnel.")]

program = typer.Typer(help="Funnel clones: list, show, retry, cancel.", invoke_without_command=True)


@program.callback()
def default(context: typer.Context) -> None:
    """Funnel clones: list (also without a word), show, retry, cancel."""
    if context.invoked_subcommand is None:
        list_clones()


@program.command("list")
def list_clones(account: Account = None, limit: Newest = 20) -> None:
    """The latest clones."""
    account_id = read_account(account)
    found = session.with_app(lambda app: app.with_repos(FunnelRepos.open).repos.funnels.latest(limit, account_id))
    Screen().table(COLUMNS, map(_row, found))


@program.command("show")
def show_clone(id: FunnelId) -> None:
    """Status, figures and warnings of a clone, and its steps one by one."""
    funnel_id = read_id(id)

    async def work(connected: App) -> tuple[Document, list[Document]]:
        app = connected.with_repos(FunnelRepos.open)
        funnel = await find_clone(app, funnel_id)
        return funnel, [*await app.repos.funnel_steps.of_clone(funnel, "clone_state", "attempts", "last_error")]

    funnel, steps = session.with_app(work)
    screen = Screen()
    screen.facts(_facts(funnel))
    if steps:
        place = {id: n for n, id in enumerate(funnel.get("steps") or [])}
        rows = sorted(steps, key=lambda step: place.get(step["_id"], len(place)))
        screen.table(STEP_COLUMNS, map(_step_row, rows))


@program.command("retry")
def retry_clone(id: FunnelId) -> None:
    """Take up a clone that failed, rests or was cancelled. Steps that are done stay."""
    funnel_id = read_id(id)
    request(
        lambda app: control.retry_clone(app.with_repos(FunnelRepos.open), funnel_id),
        SWEEP,
        lambda _: f"funnel {funnel_id} is pending again",
    )


@program.command("cancel")
def cancel_clone(id: FunnelId) -> None:
    """End a clone and remove what it made. Its steps, forms, images and their objects go, also when it had failed."""
    funnel_id = read_id(id)
    request(
        lambda app: control.cancel_clone(app.with_repos(FunnelRepos.open), funnel_id),
        SWEEP,
        lambda _: f"the clone {funnel_id} will be cancelled and what it has copied removed",
    )


def _row(funnel: Document) -> tuple[object, ...]:
    clone = funnel.get("clone") or {}
    figures = (clone.get(name) for name in ("steps_total", "steps_done", "images", "forms", "attempts"))
    who = (funnel["_id"], status_of(funnel), funnel.get("account_id"), funnel.get("name"))
    return (*who, *figures, clone.get("error"))


def _step_row(step: Document) -> tuple[object, ...]:
    about = (step.get(name) for name in ("clone_state", "attempts", "last_error"))
    return (step["_id"], step["original_step_id"], *about)


def _facts(funnel: Document) -> list[tuple[str, object]]:
    clone = funnel.get("clone") or {}
    words = ("steps_total", "steps_done", "images", "forms", "started_at", "finished_at", "next_at", "error")
    manifest = clone.get("manifest") or {}
    return [
        ("id", funnel["_id"]),
        ("status", status_of(funnel)),
        ("name", funnel.get("name")),
        ("account", funnel.get("account_id")),
        ("original", funnel.get("original_funnel_id")),
        *((name.replace("_", " "), clone.get(name)) for name in words),
        ("runs failed", clone.get("attempts")),
        *((what, ", ".join(f"{count} {kind}" for kind, count in counts.items())) for what, counts in manifest.items()),
        *(("warning", warning) for warning in clone.get("warnings") or []),
    ]
