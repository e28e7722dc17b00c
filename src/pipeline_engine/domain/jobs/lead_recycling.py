"""Lead recycling: contacts that were lost and show interest again are taken up again, once per loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.clock import usable_date
from pipeline_engine.domain.events.relay import crm_event, publish_all_due
from pipeline_engine.domain.jobs.crm_job import CrmJob, JobResult, JobWork
from pipeline_engine.domain.jobs.follow import stamps, write
from pipeline_engine.domain.jobs.schedule import DailyAt
from pipeline_engine.domain.scoring import number_or
from pipeline_engine.ids import derived_id, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.contact_changes import ContactChange
from pipeline_engine.repos.contacts import CONTACTS

NAME = "crm.lead_recycling"
NOTE = "recycling_due"
TITLE = "Follow up with recycled lead"
LOST = ["lost", "unqualified"]
RECYCLE_AFTER_DAYS = 90.0
RECENT = timedelta(days=30)
SIGNS = (
    *("page_view", "email_open", "email_click", "link_click", "form_submission", "demo_request"),
    *("form_submitted", "email_replied", "email_received"),
)
"""Signals and activities by which a contact shows interest."""
TASK_DUE_IN = timedelta(days=1)
PAGE = 500


async def run(work: JobWork) -> JobResult:
    """Recycle every contact that was lost long ago and was active of late."""
    repos, after = work.app.repos, work.cursor.get("after", "")
    done = await _follow_up(work)  # what a crash left
    failed = 0
    days = number_or(work.profile.get("recycle_after_days"), RECYCLE_AFTER_DAYS)
    lost = {"status": {"$in": LOST}, "status_changed_at": {"$lte": work.now - timedelta(days=min(days, 36_500))}}
    while page := await repos.recycling.page(
        work.account_id, lost, after, PAGE, "status_changed_at", "recycled_loss_at"
    ):
        work.check()
        failed += await _recycle(work, page)
        done, after = done + await _follow_up(work), page[-1]["_id"]
        if work.is_over:
            return JobResult(done, failed, more=True, cursor={"after": after})
    return JobResult(done, failed)


async def _recycle(work: JobWork, contacts: Sequence[Document]) -> int:
    """Recycle those of the contacts that show interest. Returns how many could not be changed."""
    facts, account_id = work.app.repos.contact_facts, work.account_id
    lost = {id: one for one in contacts if (id := object_id(one["_id"])) and _is_new_loss(one)}
    since = {id: max(one["status_changed_at"], work.now - RECENT) for id, one in lost.items()}
    signs = await facts.latest_sign(account_id, since, SIGNS)
    busy = await facts.in_sequence(account_id, list(signs))
    changes = [_change(work, lost[id], sign) for id, sign in signs.items() if id not in busy]
    return await work.app.repos.recycling.change(account_id, changes)


def _is_new_loss(contact: Mapping[str, Any]) -> bool:
    """Whether the contact was not recycled since it was lost."""
    lost_at = usable_date(contact.get("status_changed_at"))
    return lost_at is not None and contact.get("recycled_loss_at") != lost_at


def _change(work: JobWork, contact: Document, sign: str) -> ContactChange:
    id, lost_at = contact["_id"], contact["status_changed_at"]
    data = {"contact_id": str(id), "source": "lead_recycling", "status": "recycled"}
    return ContactChange(
        id,
        guard={"status": {"$in": LOST}, "status_changed_at": lost_at},
        set={"status": "recycled", "status_changed_at": work.now, "recycled_loss_at": lost_at},
        follows={"signal": sign, "lost_at": lost_at, "at": work.now},
        event=crm_event(f"{NAME}:{id}:{_loss(lost_at)}", "contact.updated", None, data),
    )


def _loss(lost_at: object) -> str:
    return lost_at.isoformat() if isinstance(lost_at, datetime) else str(lost_at)


async def _follow_up(work: JobWork) -> int:
    """Write the rows, tasks and enrolments of recycled contacts and publish them. Returns how many there were."""
    repos, count = work.app.repos, 0
    sequence_id = object_id(work.profile.get("reengagement_sequence_id"))
    if not await repos.contact_facts.sequence_is_active(work.account_id, sequence_id):
        sequence_id = None
    async for contacts in repos.recycling.noted(work.account_id, PAGE, "owner"):
        await write(work, repos.lead_recycling, [_row(work, one, sequence_id) for one in contacts])
        await write(work, repos.job_tasks, [_task(work, one) for one in contacts])
        if sequence_id:
            await write(work, repos.job_enrollments, [_enrollment(work, one, sequence_id) for one in contacts])
        await publish_all_due(work.app, CONTACTS, contacts)
        await repos.recycling.settled(work.account_id, contacts)
        count += len(contacts)
    return count


def _row(work: JobWork, contact: Document, sequence_id: ObjectId | None) -> Document:
    note = contact[NOTE]
    what = {"signal": note.get("signal"), "lost_at": note.get("lost_at"), "recycled_at": note["at"]}
    return {**_own(work, "lead_recycling", contact), **what, "sequence_id": sequence_id, **stamps(note["at"])}


def _task(work: JobWork, contact: Document) -> Document:
    at = contact[NOTE]["at"]
    what = {"title": TITLE, "due_at": at + TASK_DUE_IN, "assigned_to": contact.get("owner"), "status": "open"}
    return {**_own(work, "tasks", contact), **what, "source": "lead_recycling", **stamps(at)}


def _enrollment(work: JobWork, contact: Document, sequence_id: ObjectId) -> Document:
    at = contact[NOTE]["at"]
    what = {"sequence_id": sequence_id, "status": "active", "step": 0, "next_at": at, "source": "lead_recycling"}
    return {**_own(work, "workflow_enrollments", contact), **what, **stamps(at)}


def _own(work: JobWork, collection: str, contact: Document) -> Document:
    """Id and owner of what follows from the loss of a contact: a repeat derives the same."""
    id, lost_at = contact["_id"], _loss(contact[NOTE].get("lost_at"))
    derived = derived_id(collection, NAME, work.account_id, id, lost_at)
    return {"_id": derived, "account_id": work.account_id, "contact_id": object_id(id) or id}


JOB = CrmJob(NAME, DailyAt(time(9)), run)
