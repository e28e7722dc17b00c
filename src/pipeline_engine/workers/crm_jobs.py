"""Scheduled CRM jobs: each runs by time of day or at intervals, once per account and slot over all daemons."""

from __future__ import annotations

from functools import partial

from pipeline_engine.domain.jobs import run, sweep, token_check
from pipeline_engine.domain.jobs.crm_job import CrmJob
from pipeline_engine.domain.jobs.lane import RELEASE, SLOT, Places
from pipeline_engine.domain.jobs.table import JOBS
from pipeline_engine.repos.job_repos import JOB_COLLECTIONS, JobRepos
from pipeline_engine.settings import Settings
from pipeline_engine.workers.sweep import Sweep
from pipeline_engine.workers.system import System

ABANDONED = {JOBS[0].name: sweep.find_begun, token_check.JOB.name: token_check.find_abandoned}
"""{job: what its sweep looks for at every heartbeat}; the first job's does so for the slots of all jobs."""


def _places(_settings: Settings) -> Places:
    return Places()


def sweep_of(job: CrmJob) -> Sweep[JobRepos]:
    """The row of a job in the timetable."""
    return Sweep(
        job.name,
        every=lambda _settings: job.schedule.tick_seconds,
        find=partial(sweep.find, job),
        find_due_now=partial(sweep.find_now, job),
        find_abandoned=ABANDONED.get(job.name),
        outcomes=sweep.outcomes,
        skipped=job.skipped,
        watches=job.watches,
    )


SYSTEM = System(
    name="crm jobs",
    switch="QM_CRM_JOBS",
    collections=JOB_COLLECTIONS,
    open_repos=JobRepos.open,
    handlers={SLOT: run.run_slot, RELEASE: token_check.run_release},
    sweeps=tuple(sweep_of(job) for job in JOBS),
    new_cache=_places,
    demo="pipeline_engine.cli.demo.crm_jobs",
)
