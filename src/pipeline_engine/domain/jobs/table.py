"""The scheduled CRM jobs, one row and one file each."""

from __future__ import annotations

from pipeline_engine.domain.jobs import (
    contact_sync,
    credential_rotation,
    intent_decay,
    lead_recycling,
    lifecycle,
    sheet_sync,
    token_check,
)
from pipeline_engine.domain.jobs.crm_job import CrmJob

JOBS: tuple[CrmJob, ...] = (
    contact_sync.JOB,
    intent_decay.JOB,
    lifecycle.JOB,
    lead_recycling.JOB,
    sheet_sync.JOB,
    token_check.JOB,
    credential_rotation.JOB,
)


def job_named(name: str) -> CrmJob | None:
    """The job of this name, given with or without `crm.`; None when there is none."""
    return next((job for job in JOBS if name in (job.name, job.short_name)), None)
