"""`jobs`: scheduled CRM jobs from the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.arguments import Account, Newest, read_account
from pipeline_engine.cli.run_once import table
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.jobs.crm_job import CrmJob
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.jobs.table import JOBS, job_named
from pipeline_engine.domain.jobs.timetable import JobStatus, job_status
from pipeline_engine.errors import ConfigError
from pipeline_engine.logs import clean, visible
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.run_once import run_once
from pipeline_engine.workers import sweeps
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

COLUMNS = ("job", "when", "last slot", "ended (UTC)", "next (UTC)", "open", "late", "left out because")
SLOT_COLUMNS = ("slot", "account", "state", "attempts", "done", "failed", "started (UTC)", "ended (UTC)", "error")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The job, with or without `crm.`.")]
T = TypeVar("T")

program = typer.Typer(help="Scheduled CRM jobs: look at them, run one now.", invoke_without_command=True)


@program.callback()
def default(context: typer.Context) -> None:
    """Scheduled CRM jobs: list (also without a word), run, slots."""
    if context.invoked_subcommand is None:
        list_jobs()


@program.command("list")
def list_jobs() -> None:
    """Every job: when it runs, and its last, next and late slots.

    Mail has no slots: its jobs run whenever something is due, and open are accounts of which something is.
    """

    async def work(app: App[JobRepos]) -> list[tuple[object, ...]]:
        found = [await job_status(job, app.repos, app.clock.now()) for job in JOBS]
        rows = [_row(job, one, job.skipped(app.settings)) for job, one in zip(JOBS, found, strict=True)]
        return [*rows, *[await _row_without_slots(app, *one) for one in _without_slots().values()]]

    Screen().table(COLUMNS, _ask(work), unbroken=("job",))


@program.command("run")
def run(name: Name, account: Account = None) -> None:
    """Run a job now, for every active account or for one.

    It runs whatever its slots say. Exit code 1: it failed for an account.
    """
    account_id = read_account(account)
    done = asyncio.run(run_once(session.configured(), [_sweep_name(name)], str(account_id) if account_id else None))
    Screen().console.print(table(done.results))
    (result,) = done.results
    if account_id and job_named(name) and not result.skipped and not result.units:
        session.leave(f"there is no active account {account_id}", session.FAILED)
    raise typer.Exit(session.FAILED if result.failed else 0)


@program.command("slots")
def slots(name: Name, account: Account = None, limit: Newest = 20) -> None:
    """The latest slots of a job, the last begun first. `once:` slots were asked for by an operator."""
    job, account_id = _job(name), read_account(account)
    found = _ask(lambda app: app.repos.cron_slots.history(job.name, account_id, limit))
    Screen().table(SLOT_COLUMNS, map(_slot_row, found), unbroken=("slot", "account"))


def _ask(question: Callable[[App[JobRepos]], Awaitable[T]]) -> T:
    return session.with_app(lambda app: question(app.with_repos(JobRepos.open)))


def _job(name: str) -> CrmJob:
    if job := job_named(name):
        return job
    raise ConfigError(f"no such job: {visible(name)}; there are {', '.join(job.short_name for job in JOBS)}")


def _without_slots() -> dict[str, tuple[System[Any], Sweep[Any]]]:
    """The scheduled jobs of the contract that are systems of their own."""
    return {name: one for name, one in sweeps().items() if name.startswith("crm.") and not job_named(name)}


def _sweep_name(name: str) -> str:
    full = f"crm.{name.removeprefix('crm.')}"
    return full if full in _without_slots() else _job(name).name


async def _row_without_slots(app: App, system: System[Any], sweep: Sweep[Any]) -> tuple[object, ...]:
    minutes = sweep.every(app.settings) / 60
    skipped = sweep.skipped(app.settings)
    due = None if skipped else len(await sweep.find(app.with_repos(system.open_repos)))
    return (sweep.name, f"every {minutes:g} minutes", None, None, None, due, None, skipped)


def _row(job: CrmJob, status: JobStatus, skipped: str | None) -> tuple[object, ...]:
    last = status.last or {}
    facts = (job.name, _when(job), last.get("slot"), last.get("ended_at"))
    if skipped:
        return (*facts, None, None, None, skipped)
    return (*facts, status.next_at, status.open, len(status.late), None)


def _when(job: CrmJob) -> str:
    schedule = job.schedule
    if isinstance(schedule, DailyAt):
        return f"{schedule.time_of_day:%H:%M}, local time"
    return f"every {schedule.minutes} minutes"


def _slot_row(row: Document) -> tuple[object, ...]:
    counts = row.get("counts") or {}
    own = (row.get("slot"), row.get("account_id"), row.get("state"), row.get("attempts"))
    times = (row.get("started_at"), row.get("ended_at"))
    return (*own, counts.get("done"), counts.get("failed"), *times, clean(str(row.get("error") or "")))
