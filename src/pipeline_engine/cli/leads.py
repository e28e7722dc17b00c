"""`leads`: lead pipelines from the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Literal, TypeVar

import typer
from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.cli import lead_views, session
from pipeline_engine.cli.arguments import Account, Newest, filled, read_account, read_duration, read_id
from pipeline_engine.cli.daemons import request
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.leads import control, migration, pause_control, sla
from pipeline_engine.domain.leads.control import LeadRun
from pipeline_engine.domain.leads.pause_control import Scope
from pipeline_engine.domain.leads.schedule import Position, RunEnd
from pipeline_engine.domain.leads.start_delays import edges_with
from pipeline_engine.errors import ConfigError
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.lead_repos import LeadRepos

SWEEP = "leads.actions"

Status = Literal["entering", "active", "completed", "left", "failed", "cancelled"]
LeadId = Annotated[str, typer.Argument(metavar="LEAD", help="The `_id` of the lead.")]
StageId = Annotated[str, typer.Argument(metavar="STAGE", help="The `_id` of the pipeline stage.")]
OfStage = Annotated[str | None, typer.Option("--stage", metavar="ID", help="A stage.", callback=filled)]
OfPipeline = Annotated[
    str | None, typer.Option("--pipeline", metavar="ID", help="A pipeline with all its stages.", callback=filled)
]
OfAccount = Annotated[
    str | None, typer.Option("--account", metavar="ID", help="All pipelines of an account.", callback=filled)
]

T = TypeVar("T")

program = typer.Typer(help="Lead pipelines: look at runs, steer them, pause, migrate.", invoke_without_command=True)


@program.callback()
def default(context: typer.Context) -> None:
    """Lead pipelines: list (also without a word), show, enter, retry, skip, cancel, pause, resume, migrate, sla."""
    if context.invoked_subcommand is None:
        list_entries()


@program.command("list")
def list_entries(
    account: Account = None,
    stage: Annotated[str | None, typer.Option(metavar="ID", help="Only this stage.", callback=filled)] = None,
    status: Annotated[Status | None, typer.Option(help="Only entries with this status.")] = None,
    limit: Newest = 20,
) -> None:
    """The latest entries of leads into stages, each with its action."""
    given = {"account_id": read_account(account), "stage_id": read_id(stage, "--stage") if stage is not None else None}
    where = {name: value for name, value in {**given, "status": status}.items() if value}
    found = _ask(lambda app: app.repos.lead_records.latest(limit, **where))
    Screen().table(lead_views.ENTRY_COLUMNS, map(lead_views.entry_row, found))


@program.command("show")
def show_lead(id: LeadId) -> None:
    """A lead's current entry with its actions, and the entries before."""
    lead_id = read_id(id, "LEAD")

    async def work(app: App[LeadRepos]) -> tuple[LeadRun, list[Document]]:
        run = await control.look_up(app, lead_id)
        entry = run.current
        return run, await app.repos.lead_records.rows(run.lead.get("account_id"), entry["_id"]) if entry else []

    run, rows = _ask(work)
    screen = Screen()
    screen.facts(lead_views.facts(run))
    if rows:
        screen.table(lead_views.ACTION_COLUMNS, map(lead_views.action_row, rows))
    if before := [one for one in run.entries if one is not run.current]:
        screen.table(lead_views.BEFORE_COLUMNS, map(lead_views.before_row, before))


@program.command("enter")
def enter_stage(lead: LeadId, stage: StageId) -> None:
    """Have a lead enter a stage. Its entry before is closed when this one begins."""
    lead_id, stage_id = read_id(lead, "LEAD"), read_id(stage, "STAGE")
    _request(lambda app: control.enter(app, lead_id, stage_id), lambda _: f"lead {lead_id} enters stage {stage_id}")


@program.command("retry")
def retry_action(id: LeadId) -> None:
    """Perform a lead's failed action once more. It has all its attempts again, and the run goes on behind it."""
    lead_id = read_id(id, "LEAD")
    _request(lambda app: control.retry(app, lead_id), lambda position: f"lead {lead_id}: {_goes_on(position)}")


@program.command("skip")
def skip_action(id: LeadId) -> None:
    """Leave out the action that a lead is at, and go on. It may have failed or may be waiting."""
    lead_id = read_id(id, "LEAD")
    _request(lambda app: control.skip(app, lead_id), lambda target: f"lead {lead_id}: {_goes_on(target)}")


@program.command("cancel")
def cancel_run(id: LeadId) -> None:
    """End the run of a lead for good. What is scheduled is cancelled; the lead stays in its stage."""
    lead_id = read_id(id, "LEAD")
    _ask(lambda app: control.cancel(app, lead_id))
    Screen().line(f"lead {lead_id}: its run is cancelled")


@program.command("pause")
def pause(
    stage: OfStage = None,
    pipeline: OfPipeline = None,
    account: OfAccount = None,
    waits: Annotated[
        Literal["extend", "keep"],
        typer.Option(help="extend: what waits waits longer, by the pause; keep: what became due is caught up."),
    ] = "extend",
    lasting: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="Resume by itself after 90s, 30m, 24h or 7d.", callback=filled),
    ] = None,
) -> None:
    """Pause a stage, a pipeline or an account. Leads may still be added; no action is performed."""
    scope, id = _scope(stage, pipeline, account)
    duration = read_duration(lasting, "--for") if lasting is not None else None
    held = _ask(lambda app: pause_control.pause(app, scope, id, waits, duration))
    until = f"until {held.until:%Y-%m-%d %H:%M:%S} UTC" if held.until else f"until `leads resume --{scope} {id}`"
    Screen().line(f"{scope} {id} is paused {until}")


@program.command("resume")
def resume(stage: OfStage = None, pipeline: OfPipeline = None, account: OfAccount = None) -> None:
    """End a pause. What is due by then is spread over a minute."""
    scope, id = _scope(stage, pipeline, account)
    _request(lambda app: pause_control.resume(app, scope, id), lambda _: f"{scope} {id} goes on")


@program.command("migrate")
def migrate(
    stage: StageId,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this the command only shows what it would do.")
    ] = False,
) -> None:
    """Bring the edited actions of a stage to the leads in it."""
    stage_id = read_id(stage, "STAGE")
    screen = Screen()
    if not yes:
        screen.table(
            lead_views.PLACE_COLUMNS, map(lead_views.place_row, _ask(lambda app: migration.preview(app, stage_id)))
        )
        screen.line("nothing is changed yet: `leads migrate` with --yes does it")
        return
    done = _ask(lambda app: migration.migrate(app, stage_id))
    screen.line(f"{done.moved:,} leads have the stage's actions as they are now")
    if done.busy:
        screen.line(f"{done.busy:,} leads were just acting or have entered meanwhile: call it again for them")


@program.command("sla")
def show_sla(
    since: Annotated[str, typer.Option(metavar="TIME", help="How far back: 90s, 30m, 24h or 7d.")] = "24h",
    account: Account = None,
) -> None:
    """How late actions began. The aim is `LEADS_SLA_SECONDS` after they are due."""
    period: timedelta = read_duration(since, "--since")
    account_id = read_account(account)
    aim = session.configured().leads_sla_seconds
    found = _ask(lambda app: sla.delays(app, period, account_id))
    screen = Screen()
    screen.table(lead_views.sla_columns(edges_with(aim)), map(lead_views.sla_row, found))
    total, late = sum(one.total for one in found), sum(one.later_than(aim) for one in found)
    screen.line(f"{total:,} actions in the last {since}; {late:,} of them began over {aim:g} s after they were due")


def _scope(stage: str | None, pipeline: str | None, account: str | None) -> tuple[Scope, ObjectId]:
    """The one thing that the options name. Raises: ConfigError when they name none or several."""
    options: dict[Scope, str | None] = {"stage": stage, "pipeline": pipeline, "account": account}
    given = [(scope, read_id(text, f"--{scope}")) for scope, text in options.items() if text is not None]
    if len(given) != 1:
        raise ConfigError("exactly one of --stage, --pipeline and --account is wanted")
    return given[0]


def _goes_on(target: Position | RunEnd) -> str:
    if isinstance(target, RunEnd):
        return f"its run is {target.status}"
    return f"it goes on with action {target.sequence} ({target.type}), due at {target.perform_at:%Y-%m-%d %H:%M:%S} UTC"


def _ask(work: Callable[[App[LeadRepos]], Awaitable[T]]) -> T:
    return session.with_app(lambda app: work(app.with_repos(LeadRepos.open)))


def _request(change: Callable[[App[LeadRepos]], Awaitable[T]], line: Callable[[T], str]) -> None:
    request(lambda app: change(app.with_repos(LeadRepos.open)), SWEEP, line)
