"""Finds due slots: accounts of which the newest slot has no row, and rows that a run began and did not end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.jobs.crm_job import CrmJob
from pipeline_engine.domain.jobs.lane import SLOT
from pipeline_engine.domain.jobs.slot_id import ONCE, SlotId, read_slot_id
from pipeline_engine.domain.jobs.table import JOBS, job_named
from pipeline_engine.domain.jobs.zones import zone_of
from pipeline_engine.domain.unit import Unit
from pipeline_engine.repos.job_repos import JobRepos

MAX_UNITS = 20_000
MAX_FOLLOW_WAIT = timedelta(hours=4)
"""So long a slot waits for the jobs that it follows; a provider that holds those up must not hold it up for days."""
OUTCOMES = {"done": "succeeded", "skipped": "succeeded", "failed": "failed"}

Slots = Mapping[ObjectId, str]
"""{account: slot}"""


async def find(job: CrmJob, app: App[JobRepos]) -> list[Unit]:
    """The slots of the job that are due. An account's begun slot comes first; its newest follows when that has ended,
    and when the jobs that this one follows have ended theirs or MAX_FOLLOW_WAIT is over."""
    if job.skipped(app.settings):
        return []
    now = app.clock.now()
    zones = await zones_of(job, app.repos, now)
    newest = slots_at(job, zones, now)
    missing = await without_row(app.repos, job.name, newest)
    if followed := _followed(job, app):
        before_long = slots_at(job, zones, now - MAX_FOLLOW_WAIT)
        young = {account: slot for account, slot in missing.items() if before_long[account] != slot}
        for before in followed:
            for account in await without_row(app.repos, before.name, young, {"$ne": "due"}):
                missing.pop(account, None)
    if job.also_due:
        extra = {id: slot for id, slot in (await job.also_due(app)).items() if id in newest and id not in missing}
        missing |= await without_row(app.repos, job.name, extra)
    begun = await app.repos.cron_slots.open_rows(job.name)
    oldest = {one["account_id"]: one for one in reversed(begun)}
    first = [id for one in oldest.values() if one["is_free"] and (id := read_slot_id(str(one["_id"])))]
    others = [SlotId(job.name, *pair) for pair in missing.items() if pair[0] not in oldest]
    return [unit_of(id) for id in (*first, *others)][:MAX_UNITS]


async def zones_of(job: CrmJob, repos: JobRepos, now: datetime) -> dict[ObjectId, object]:
    """{active account that the job concerns at that moment: the name of its time zone}"""
    zones = await repos.job_accounts.zones()
    if job.concerns is None or not zones:
        return zones
    concerned = await job.concerns(repos, now)
    return {account: name for account, name in zones.items() if account in concerned}


def slots_at(job: CrmJob, zones: Mapping[ObjectId, object], now: datetime) -> dict[ObjectId, str]:
    """{account: the newest slot that has begun where its time zone says}. Pure."""
    known: dict[ZoneInfo, str] = {}
    slots = {}
    for account, name in zones.items():
        zone = zone_of({"timezone": name}, {})
        if zone not in known:
            known[zone] = job.schedule.slot(now, zone)
        slots[account] = known[zone]
    return slots


async def without_row(repos: JobRepos, job: str, slots: Slots, state: object = None) -> dict[ObjectId, str]:
    """Those of the slots of the job that have no row, or none whose state matches."""
    rows = await repos.cron_slots.accounts_by_slot(job, set(slots.values()), state) if slots else {}
    return {account: slot for account, slot in slots.items() if account not in rows.get(slot, ())}


def _followed(job: CrmJob, app: App[JobRepos]) -> list[CrmJob]:
    """The jobs that this process runs before this one."""
    named = [job_named(name) for name in job.after]
    return [before for before in named if before and not before.skipped(app.settings)]


def unit_of(id: SlotId) -> Unit:
    """A slot as a unit: one job."""
    return Unit.of(SLOT, str(id), id.account_id)


async def find_now(job: CrmJob, app: App[JobRepos]) -> list[Unit]:
    """Every active account, in a slot of this process's own: `run-once` runs a job whatever its slots say."""
    slot = ONCE + app.owner.rpartition(":")[2]
    return [unit_of(SlotId(job.name, account, slot)) for account in await app.repos.job_accounts.zones(fresh=True)]


async def find_begun(app: App[JobRepos]) -> list[Unit]:
    """Slots of all jobs that a run began and no run holds: after a crash, or with a job that waits in its lane."""
    rows = await app.repos.cron_slots.find_free(MAX_UNITS)
    wanted = {job.name for job in JOBS if not job.skipped(app.settings)}
    ids = [id for one in rows if (id := read_slot_id(str(one["_id"])))]
    return [unit_of(id) for id in ids if id.job in wanted]


async def outcomes(app: App[JobRepos], ids: Sequence[str]) -> dict[str, str]:
    """{slot id: succeeded|failed|busy}; a slot that has an attempt left is busy."""
    states = await app.repos.cron_slots.states(list(ids), "state")
    return {id: OUTCOMES.get(str(states.get(id, {}).get("state")), "busy") for id in ids}
