"""Prepares meetings that begin soon: a brief about who comes, and a notification to the meeting's owner.

A slot looks an hour ahead. A meeting that is booked into that hour afterwards makes an extra slot at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.clock import usable_date
from pipeline_engine.domain.claimed import blames_document
from pipeline_engine.domain.jobs.briefs.brief import write_brief
from pipeline_engine.domain.jobs.briefs.read_meeting import read_meeting
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.schedule import EveryMinutes
from pipeline_engine.domain.jobs.writing.model import Model
from pipeline_engine.domain.jobs.zones import UTC_ZONE
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.lanes.classify_error import brief, where
from pipeline_engine.repos.job_repos import JobRepos
from pipeline_engine.repos.meetings import meeting_id

KIND = "meeting_brief"
AHEAD = timedelta(minutes=60)
BEHIND = timedelta(minutes=30)
"""A meeting that was booked too late for a brief before it begins has one while it lasts."""
MOVED = timedelta(minutes=60)
"""A meeting that was moved by more than this after it was prepared is prepared again."""
MAX_EVENTS = 500
SCHEDULE = EveryMinutes(30)

Document = Mapping[str, Any]

log = logs.get(__name__)


async def run(work: JobWork) -> JobResult:
    model, done, failed = Model.of(work), 0, 0
    for event, meeting in await _unprepared(work):
        if work.is_over and done:
            return JobResult(done, failed, more=True)
        try:
            await _prepare(work, event, meeting, model)
        except Exception as error:
            if not blames_document(error):
                raise
            failed += 1
            ids = {"event_id": str(event["_id"]), "account_id": str(work.account_id)}
            log.warning("meeting.not_prepared", **ids, error=brief(error), where=where(error))
            # The same document would fail again, each minute in an extra slot.
            await work.app.repos.meetings.mark(work.account_id, event)
        else:
            done += 1
    return JobResult(done, failed)


async def _unprepared(work: JobWork) -> list[tuple[Document, Document | None]]:
    """Events that begin soon, or have begun just now, and have no brief; each with its meeting if there is one."""
    repo = work.app.repos.meetings
    found = await repo.unmarked(work.account_id, work.now - BEHIND, work.now + AHEAD, MAX_EVENTS)
    events = [event for event in found if _lasts(event, work)]
    meetings = await repo.of_events(work.account_id, [event["_id"] for event in events])
    pairs = [(event, meetings.get(str(event["_id"]))) for event in events]
    for event in (event for event, meeting in pairs if is_prepared(event, meeting)):
        await repo.mark(work.account_id, event)
    return [(event, meeting) for event, meeting in pairs if not is_prepared(event, meeting)]


async def concerns(repos: JobRepos, now: datetime) -> set[ObjectId]:
    """The accounts with a meeting that a slot of this moment would look at."""
    found = await repos.meetings.accounts_with_unmarked(now - BEHIND, now + AHEAD)
    return {id for one in found if (id := object_id(one))}


async def booked_late(app: App[JobRepos]) -> dict[ObjectId, str]:
    """{account: this minute as a slot} of accounts with a meeting that was booked after their newest slot."""
    now = app.clock.now()
    seen = SCHEDULE.start(SCHEDULE.slot(now, UTC_ZONE), UTC_ZONE) + AHEAD
    found = await app.repos.meetings.accounts_with_unmarked(now, seen)
    return {id: f"{now:%Y-%m-%dT%H:%M}Z" for one in found if (id := object_id(one))}


def _lasts(event: Document, work: JobWork) -> bool:
    ends = usable_date(event.get("ends_at"))
    return event["starts_at"] > work.now or (ends is not None and ends > work.now)


def is_prepared(event: Document, meeting: Document | None) -> bool:
    """Whether the meeting has a brief, and was not moved far since. A brief that the CRM wrote counts for good."""
    if meeting is None or not meeting.get("brief"):
        return False
    prepared_for = usable_date(meeting.get("brief_starts_at"))
    return prepared_for is None or abs(event["starts_at"] - prepared_for) <= MOVED


async def _prepare(work: JobWork, event: Document, meeting: Document | None, model: Model) -> None:
    """The brief is stored last: as long as there is none, a run that follows a crash does all of this again."""
    written = await write_brief(await read_meeting(work, event), model)
    id = meeting["_id"] if meeting else meeting_id(work.account_id, event["_id"])
    work.check()
    await work.app.shared.notifications.open(_notifications(work, event, id, written))
    await work.app.repos.meetings.store_brief(work.account_id, event, id, written, work.now)
    await work.app.repos.meetings.mark(work.account_id, event)


def _notifications(work: JobWork, event: Document, id: ObjectId, brief: Document) -> Sequence[dict[str, Any]]:
    owner = event.get("owner")
    if not owner:
        return []
    return [
        {
            "_id": derived_id(KIND, work.account_id, event["_id"], event["starts_at"]),
            "account_id": work.account_id,
            "user_id": object_id(owner) or owner,
            "kind": KIND,
            "title": brief["headline"],
            "body": "\n".join(brief["key_points"]),
            "meeting_id": id,
            "calendar_event_id": event["_id"],
        }
    ]


JOB = CrmJob(
    "crm.meeting_prep",
    SCHEDULE,
    run,
    part_of="crm.proactive_ai",
    concerns=concerns,
    also_due=booked_late,
    watches=frozenset({"calendar_events"}),
)
