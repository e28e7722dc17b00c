"""Where every job stands: its last slot, its next, and the slots that are late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId

from pipeline_engine.domain.jobs.crm_job import CrmJob
from pipeline_engine.domain.jobs.sweep import slots_at, without_row
from pipeline_engine.domain.jobs.zones import zone_of
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.job_repos import JobRepos


@dataclass(frozen=True)
class JobStatus:
    """`open` counts accounts whose newest slot has not ended; `late` names those of which it should have long since."""

    last: Document | None
    next_at: datetime | None
    open: int
    late: dict[ObjectId, str]


async def job_status(job: CrmJob, repos: JobRepos, now: datetime) -> JobStatus:
    """How the job stands over all active accounts. `next_at` is the first moment at which an account has a slot."""
    names = await repos.job_accounts.zones()
    zones = {account: zone_of({"timezone": name}, {}) for account, name in names.items()}
    slots = await without_row(repos, job.name, slots_at(job, names, now), {"$ne": "due"})
    starts = {(slot, zones[account]) for account, slot in slots.items()}
    late = {pair for pair in starts if now - job.schedule.start(*pair) > job.schedule.late_after}
    history = await repos.cron_slots.history(job.name, None, 1)
    return JobStatus(
        last=history[0] if history else None,
        next_at=min((job.schedule.next_start(now, zone) for zone in set(zones.values())), default=None),
        open=len(slots),
        late={account: slot for account, slot in slots.items() if (slot, zones[account]) in late},
    )
