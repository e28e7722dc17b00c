"""The umbrella over meeting prep, stale deals and daily insight: their common switch, and their status.

`CRM_JOBS_OFF=proactive_ai` switches all of them off. Each has its own schedule; run by an operator, this job runs them
one after the other. Its own daily slot counts which of them have done their last slot.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import time

from pipeline_engine.domain.jobs import daily_insight, meeting_prep, stale_deals
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.jobs.slot_id import ONCE

PARTS: tuple[CrmJob, ...] = (meeting_prep.JOB, stale_deals.JOB, daily_insight.JOB)


async def run(work: JobWork) -> JobResult:
    return await (_run_parts(work) if work.slot.startswith(ONCE) else _status(work))


async def _run_parts(work: JobWork) -> JobResult:
    """Run the parts that are switched on; the cursor says which of them is under way, and where."""
    parts = [part for part in PARTS if not part.skipped(work.app.settings)]
    place, cursor, done, failed = work.cursor.get("part", 0), work.cursor.get("cursor", {}), 0, 0
    while place < len(parts):
        result = await parts[place].run(replace(work, cursor=cursor))
        done, failed = done + result.done, failed + result.failed
        place, cursor = (place, result.cursor) if result.more else (place + 1, {})
        if place < len(parts) and (result.more or work.is_over):
            return JobResult(done, failed, more=True, cursor={"part": place, "cursor": cursor})
    return JobResult(done, failed)


async def _status(work: JobWork) -> JobResult:
    slots = work.app.repos.cron_slots
    last = [await slots.history(part.name, work.account_id, 1) for part in PARTS]
    states = [rows[0].get("state") for rows in last if rows]
    return JobResult(done=states.count("done"), failed=states.count("failed"))


JOB = CrmJob("crm.proactive_ai", DailyAt(time(10, 0)), run)
