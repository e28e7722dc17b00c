"""Not built yet."""

from __future__ import annotations

from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import EveryMinutes


async def run(_work: JobWork) -> JobResult:
    return JobResult()


JOB = CrmJob("crm.lifecycle", EveryMinutes(120), run)
