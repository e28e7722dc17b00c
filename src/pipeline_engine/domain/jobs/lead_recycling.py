"""Not built yet."""

from __future__ import annotations

from datetime import time

from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import DailyAt


async def run(_work: JobWork) -> JobResult:
    return JobResult()


JOB = CrmJob("crm.lead_recycling", DailyAt(time(9)), run)
