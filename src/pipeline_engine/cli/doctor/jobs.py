"""Scheduled jobs: whether their slots end in time."""

from __future__ import annotations

from contextlib import AsyncExitStack

from pymongo.errors import PyMongoError

from pipeline_engine import ids
from pipeline_engine.app import open_mongo
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.clock import Clock
from pipeline_engine.domain.jobs.table import JOBS
from pipeline_engine.domain.jobs.timetable import JobStatus, job_status
from pipeline_engine.errors import EngineError
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.repos.lease import Lease
from pipeline_engine.repos.server import Server
from pipeline_engine.repos.store import Store
from pipeline_engine.settings import Settings

SUBJECT = "jobs"
MAX_SHOWN = 3


async def check(settings: Settings) -> list[Finding]:
    """A warning for every job with late slots. Nothing while MongoDB is away, of which another check speaks, or with
    all jobs switched off."""
    jobs = [job for job in JOBS if settings.qm_crm_jobs and not job.skipped(settings)]
    try:
        async with AsyncExitStack() as stack:
            database, clock = await open_mongo(settings, stack), Clock()
            await clock.follow(Server(database).now)
            repos = JobRepos.open(Store(database, Lease(ids.daemon_id(), settings.lease_seconds), clock, settings))
            found = {job.name: await job_status(job, repos, clock.now()) for job in jobs}
    except (EngineError, PyMongoError):
        return []
    late = [Finding.warning(SUBJECT, _text(name, status)) for name, status in found.items() if status.late]
    return late or [Finding.ok(SUBJECT, f"no slot of {len(jobs)} scheduled jobs is late")] if jobs else []


def _text(name: str, status: JobStatus) -> str:
    some = ", ".join(f"{account} {slot}" for account, slot in list(status.late.items())[:MAX_SHOWN])
    rest = ", …" if len(status.late) > MAX_SHOWN else ""
    short = name.removeprefix("crm.")
    accounts = f"{len(status.late)} accounts ({some}{rest})"
    return f"{name} is late for {accounts}: is a daemon running? see `jobs slots {short}`"
