"""Where every job stands: its last slot, its next, and the slots that are late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId

from pipeline_engine.domain.jobs.crm_job import CrmJob
from pipeline_engine.domain.jobs.schedule import slots_since
from pipeline_engine.domain.jobs.sweep import zones_of
from pipeline_engine.domain.jobs.zones import zone_of
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.job_repos import JobRepos


@dataclass(frozen=True)
class JobStatus:
    """`open` counts accounts whose newest slot has not ended; `late` has, by account, the slot that should have."""

    last: Document | None
    next_at: datetime | None
    open: int
    late: dict[ObjectId, str]


async def job_status(job: CrmJob, repos: JobRepos, now: datetime) -> JobStatus:
    """How the job stands over all active accounts. `next_at` is the first moment at which an account has a slot."""
    names = await zones_of(job, repos, now)
    zones = {account: zone_of({"timezone": name}, {}) for account, name in names.items()}
    since = now - job.schedule.late_after
    concerned = await zones_of(job, repos, since) if job.concerns else names
    of_zone = {zone: slots_since(job.schedule, since, now, zone) for zone in set(zones.values())}
    wanted = {slot for slots in of_zone.values() for slot in slots}
    ended = await repos.cron_slots.accounts_by_slot(job.name, wanted, {"$ne": "due"})
    history = await repos.cron_slots.history(job.name, None, 1)
    return JobStatus(
        last=history[0] if history else None,
        next_at=min((job.schedule.next_start(now, zone) for zone in of_zone), default=None),
        open=sum(account not in ended.get(of_zone[zone][-1], ()) for account, zone in zones.items()),
        late={
            account: of_zone[zone][0]
            for account, zone in zones.items()
            if account.generation_time <= since  # one that is younger than the slot has had no time for it
            and account in concerned
            and not any(account in ended.get(slot, ()) for slot in of_zone[zone])
        },
    )
