"""Makes submissions, contacts and events out of the pending rows of a sheet. A repeat changes nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.events.publisher import EventPublisher
from pipeline_engine.domain.events.relay import crm_event, publish_due
from pipeline_engine.domain.sheets.mapping import SheetMapping
from pipeline_engine.ids import derived_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.contacts import CONTACTS
from pipeline_engine.repos.form_submissions import FormSubmissions
from pipeline_engine.repos.job_repos import JobRepos

SOURCE = "google_sheet"


@dataclass(frozen=True)
class SheetForm:
    """A form of an account, whose sheet is read."""

    app: App[JobRepos]
    account_id: ObjectId
    id: Any
    mapping: SheetMapping

    @property
    def submissions(self) -> FormSubmissions:
        return self.app.repos.form_submissions

    def submission_id(self, key: str) -> ObjectId:
        return derived_id("form_submission", self.account_id, self.id, key)


@dataclass(frozen=True)
class PendingRow:
    """A row of `pending`: its cells, and what they say about the contact, now and before the row was edited."""

    id: ObjectId
    key: str
    cells: Mapping[str, str]
    is_new: bool
    values: Mapping[str, str]
    before: Mapping[str, str]

    @property
    def email(self) -> str:
        return self.values.get("email", "").lower()


async def submit(form: SheetForm, pending: Sequence[Mapping[str, Any]]) -> None:
    """Store a submission and the contact for each row, and publish what is new."""
    ids = [form.submission_id(one["key"]) for one in pending]
    stored = await form.submissions.find(form.account_id, ids)
    rows = [_read(form, id, one, stored.get(id, {})) for id, one in zip(ids, pending, strict=True)]
    contacts = await _contacts(form, rows)
    now = form.app.clock.now()
    await form.submissions.add([_submission(form, row, contacts.get(row.email), now) for row in rows])
    for row in rows:
        if row.id in stored and dict(row.cells) != stored[row.id].get("data"):
            await form.submissions.edit(form.account_id, row.id, dict(row.cells), _id_of(contacts.get(row.email)))
    for row in rows:
        if row.is_new:
            await _publish(form, row, contacts.get(row.email))


def _read(form: SheetForm, id: ObjectId, pending: Mapping[str, Any], stored: Mapping[str, Any]) -> PendingRow:
    cells, data = pending["cells"], stored.get("data")
    before = form.mapping.contact_values(data) if isinstance(data, Mapping) else {}
    return PendingRow(id, pending["key"], cells, pending["is_new"], form.mapping.contact_values(cells), before)


async def _contacts(form: SheetForm, rows: Sequence[PendingRow]) -> dict[str, Document]:
    """{address: its contact}, made where there is none, filled where fields are empty, their events published."""
    addressed = [row for row in rows if row.email]
    emails = sorted({row.email for row in addressed})
    if not emails:
        return {}
    known = await form.submissions.contacts(form.account_id, emails)
    new = {row.email: _contact(form, row) for row in reversed(addressed) if row.email not in known}
    if new:
        await form.submissions.add_contacts([*new.values()])
        # A unique index of the CRM's may have refused one that was made at the same time.
        known = await form.submissions.contacts(form.account_id, emails)
    for row in addressed:
        values = {name: text for name, text in row.values.items() if name != "email"}
        if (contact := known.get(row.email)) and values:
            await form.submissions.fill(contact, values, row.before, _updated(row, contact))
    for due in await form.submissions.events_due(form.account_id, [one["_id"] for one in known.values()]):
        await publish_due(form.app, CONTACTS, due)
    return known


def _contact(form: SheetForm, row: PendingRow) -> Document:
    id, now = derived_id("contact", form.account_id, row.email), form.app.clock.now()
    event = crm_event(f"contact.created:{id}", "contact.created", None, {"contact_id": str(id), "source": "form"})
    stage = {"status": "active", "lifecycle_stage": "lead", "source": SOURCE}
    times = {"createdAt": now, "updatedAt": now}
    return {"_id": id, "account_id": form.account_id, **row.values, **stage, "events_due": [event], **times}


def _updated(row: PendingRow, contact: Document) -> Document:
    data = {"contact_id": str(contact["_id"]), "source": "form"}
    change = derived_id(row.id, *sorted(row.values.items()))
    return crm_event(f"contact.updated:{contact['_id']}:{change}", "contact.updated", None, data)


def _submission(form: SheetForm, row: PendingRow, contact: Document | None, now: Any) -> Document:
    whose = {"_id": row.id, "account_id": form.account_id, "form_id": form.id, "contact_id": _id_of(contact)}
    times = {"createdAt": now, "updatedAt": now}
    return {**whose, "row_key": row.key, "data": dict(row.cells), "source": SOURCE, **times}


async def _publish(form: SheetForm, row: PendingRow, contact: Document | None) -> None:
    data = {"form_id": str(form.id), "submission_id": str(row.id), "source": SOURCE}
    data |= {"contact_id": str(contact["_id"])} if contact else {}
    await EventPublisher(form.app).publish("form.submitted", data, form.account_id, id=f"form.submitted:{row.id}")


def _id_of(contact: Document | None) -> Any:
    return contact["_id"] if contact else None
