"""The scheduled CRM jobs, one row and one file each."""

from __future__ import annotations

from pipeline_engine.domain.jobs import (
    contact_sync,
    credential_rotation,
    daily_insight,
    intent_decay,
    lead_recycling,
    lifecycle,
    meeting_prep,
    proactive_ai,
    sheet_sync,
    stale_deals,
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
    meeting_prep.JOB,
    stale_deals.JOB,
    daily_insight.JOB,
    proactive_ai.JOB,
)


def job_named(name: str) -> CrmJob | None:
    """The job of this name, given with or without `crm.`; None when there is none."""
    return next((job for job in JOBS if name in (job.name, job.short_name)), None)
