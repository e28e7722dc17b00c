"""`workflows`: workflows from the command line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import session, workflow_views
from pipeline_engine.cli.arguments import Account, AsJson, Newest, read_account, read_id
from pipeline_engine.cli.daemons import request
from pipeline_engine.cli.screen import Screen, json_line
from pipeline_engine.domain.workflows import control, migration, rehearsal
from pipeline_engine.errors import ConfigError
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.workflow_repos import WorkflowRepos

SWEEP = "events.outbox"
LATEST = 20
"""Enrolments that `show` lists."""

WorkflowId = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The `_id` of the workflow.")]
T = TypeVar("T")

program = typer.Typer(help="Workflows: look at them, rehearse, pause, migrate.", invoke_without_command=True)


@program.callback()
def default(context: typer.Context) -> None:
    """Workflows: list (also without a word), show, test, pause, resume, migrate."""
    if context.invoked_subcommand is None:
        list_workflows()


@program.command("list")
def list_workflows(account: Account = None, limit: Newest = 50) -> None:
    """The newest workflows, and what is wrong with any."""
    account_id = read_account(account)
    where = {"account_id": account_id} if account_id else {}
    found = _ask(lambda app: app.repos.workflows.latest(limit, **where))
    Screen().table(workflow_views.WORKFLOW_COLUMNS, map(workflow_views.workflow_row, found))


@program.command("show")
def show_workflow(id: WorkflowId) -> None:
    """A workflow, its steps, and who is under way."""
    workflow_id = read_id(id, "WORKFLOW")

    async def work(app: App[WorkflowRepos]) -> tuple[Document, dict[str, int], list[Document]]:
        workflow = dict(await control.look_up(app, workflow_id))
        records, account_id = app.repos.workflow_records, workflow.get("account_id")
        counts = await records.count_of(account_id, workflow["_id"])
        return workflow, counts, await records.latest(LATEST, account_id, workflow["_id"])

    workflow, counts, latest = _ask(work)
    screen = Screen()
    screen.facts(workflow_views.facts(workflow, counts))
    if rows := workflow_views.step_rows(workflow):
        screen.table(workflow_views.STEP_COLUMNS, rows)
    if latest:
        screen.table(workflow_views.ENROLLMENT_COLUMNS, map(workflow_views.enrollment_row, latest))


@program.command("test")
def rehearse_workflow(
    id: WorkflowId,
    contact: Annotated[str, typer.Option(metavar="ID", help="The contact to test it with.")],
    data: Annotated[str | None, typer.Option(metavar="JSON", help="`data` of the event that triggers it.")] = None,
    happens: Annotated[
        list[str] | None, typer.Option("--happens", metavar="TYPE", help="An event that comes in time; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what each step would do for a contact. Nothing is sent or written, and no wait is waited for."""
    workflow_id, contact_id, given = read_id(id, "WORKFLOW"), read_id(contact, "--contact"), _read_data(data)
    found = _ask(lambda app: rehearsal.rehearse(app, workflow_id, contact_id, given, happens or ()))
    if as_json:
        typer.echo(json_line(found))
    else:
        screen = Screen()
        would = "would" if found.triggers else "would not"
        screen.line(f"this event {would} enrol contact {contact_id} in workflow {workflow_id}; nothing is sent")
        screen.table(workflow_views.REHEARSAL_COLUMNS, [(one.path, one.type, one.would) for one in found.steps])
    if any(one.fails for one in found.steps):
        raise typer.Exit(session.FAILED)


def _read_data(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--data: given {text!r}: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"--data: given {text!r}: an object is wanted")
    return found


@program.command("pause")
def pause(id: WorkflowId) -> None:
    """Hold all contacts where they are. Those who are enrolled meanwhile wait at the first step."""
    workflow_id = read_id(id, "WORKFLOW")
    held = _ask(lambda app: control.pause(app, workflow_id))
    Screen().line(f"workflow {workflow_id} is paused: {held:,} contacts wait")


@program.command("resume")
def resume(id: WorkflowId) -> None:
    """Let all contacts go on. What they wait for is put off by the pause."""
    workflow_id = read_id(id, "WORKFLOW")
    _request(lambda app: control.resume(app, workflow_id), lambda _: f"workflow {workflow_id} goes on")


@program.command("migrate")
def migrate(
    id: WorkflowId,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this the command only shows what it would do.")
    ] = False,
) -> None:
    """Give those under way the steps as they are now."""
    workflow_id = read_id(id, "WORKFLOW")
    screen = Screen()
    if not yes:
        moves = _ask(lambda app: migration.preview(app, workflow_id))
        screen.table(workflow_views.MOVE_COLUMNS, [workflow_views.move_row(*one) for one in moves])
        screen.line("nothing is changed yet: `workflows migrate` with --yes does it")
        return
    done = _ask(lambda app: migration.migrate(app, workflow_id))
    screen.line(f"{done.moved:,} contacts have the steps as they are now")
    if done.busy:
        screen.line(f"{done.busy:,} contacts were just acting: call it again for them")


def _ask(work: Callable[[App[WorkflowRepos]], Awaitable[T]]) -> T:
    return session.with_app(lambda app: work(app.with_repos(WorkflowRepos.open)))


def _request(change: Callable[[App[WorkflowRepos]], Awaitable[T]], line: Callable[[T], str]) -> None:
    request(lambda app: change(app.with_repos(WorkflowRepos.open)), SWEEP, line)
