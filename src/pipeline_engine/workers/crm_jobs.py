"""Scheduled CRM jobs: each runs by time of day or at intervals, once per account and slot over all daemons."""

from __future__ import annotations

from functools import partial

from pipeline_engine.domain.jobs import run, sweep
from pipeline_engine.domain.jobs.crm_job import CrmJob
from pipeline_engine.domain.jobs.lane import SLOT, Places
from pipeline_engine.domain.jobs.table import JOBS
from pipeline_engine.repos.job_repos import JOB_COLLECTIONS, JobRepos
from pipeline_engine.settings import Settings
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System


def _places(_settings: Settings) -> Places:
    return Places()


def sweep_of(job: CrmJob) -> Sweep[JobRepos]:
    """The row of a job in the timetable. The first job's sweep also looks for slots of all jobs that were begun."""
    return Sweep(
        job.name,
        every=lambda _settings: job.schedule.tick_seconds,
        find=partial(sweep.find, job),
        find_due_now=partial(sweep.find_now, job),
        find_abandoned=sweep.find_begun if job is JOBS[0] else None,
        outcomes=sweep.outcomes,
        skipped=job.skipped,
        watches=job.watches,
    )


SYSTEM = System(
    name="crm jobs",
    switch="QM_CRM_JOBS",
    collections=JOB_COLLECTIONS,
    open_repos=JobRepos.open,
    handlers={SLOT: run.run_slot},
    sweeps=tuple(sweep_of(job) for job in JOBS),
    new_cache=_places,
)
