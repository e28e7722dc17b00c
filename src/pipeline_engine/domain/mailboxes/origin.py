"""Finds which of our own mails a mail answers or reports on, and to whom that one belonged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.ids import object_id
from pipeline_engine.repos.mail_records import MailRecords

MAX_COLONS = 5
"""In the key of a unit."""
NEVER_SENT = {"planned", "failed"}


@dataclass(frozen=True)
class Origin:
    """A mail that left this account, and what it was sent for, as far as that is known."""

    message_id: str
    key: str = ""
    """The key of the unit that sent it; empty for a mail that a person sent."""
    contact_id: Any = None
    lead_id: Any = None
    deal_id: Any = None
    sequence_id: Any = None
    sender_id: Any = None
    """The mailbox that it left."""

    @property
    def records(self) -> dict[str, Any]:
        """The records that it belongs to."""
        known = {"contact_id": self.contact_id, "lead_id": self.lead_id, "deal_id": self.deal_id}
        return {name: id for name, id in known.items() if id}


async def find_origin(app: App, account_id: ObjectId, message_ids: Sequence[str]) -> Origin | None:
    """The first of the mails that left this account; None when none did."""
    records = MailRecords(app.store)
    keys = {key: id for id in message_ids for key in possible_keys(id)}
    effects = await app.shared.effects.records(account_id, list(keys)) if keys else {}
    sent = {keys[key]: key for key, one in effects.items() if one.get("state") not in NEVER_SENT}
    outgoing = await records.outgoing(account_id, message_ids) if message_ids else {}
    first = next((id for id in message_ids if id in sent or id in outgoing), None)
    if first is None:
        return None
    origin = Origin(first, sent.get(first, ""), sender_id=outgoing.get(first, {}).get("email_account_id"))
    return await _with_records(records, account_id, origin) if origin.key else origin


def possible_keys(message_id: str) -> list[str]:
    """The keys of units from which a Message-ID can have been made: its left half, the colons of which became dots."""
    parts = message_id.strip("<>").rpartition("@")[0].split(".")
    return [":".join(parts[:n]) + "".join(f".{one}" for one in parts[n:]) for n in range(2, MAX_COLONS + 2)][
        : max(0, len(parts) - 1)
    ]


async def _with_records(records: MailRecords, account_id: ObjectId, origin: Origin) -> Origin:
    match origin.key.split(":"):
        case ["lead", stage, *_]:
            entry = await records.one("lead_stages", account_id, stage, "lead_id")
            return replace(origin, **_known(entry, "lead_id"))
        case ["sequence" | "workflow", enrollment, *_]:
            fields = ("contact_id", "lead_id", "deal_id", "sequence_id")
            entry = await records.one("workflow_enrollments", account_id, enrollment, *fields)
            return replace(origin, **_known(entry, *fields))
        case ["welcome", contact, *_]:
            return replace(origin, contact_id=object_id(contact.partition(".")[0]))
        case [_, deal, *_]:
            found = await records.one("deals", account_id, deal, "contact_id", "lead_id")
            return replace(origin, deal_id=found.get("_id"), **_known(found, "contact_id", "lead_id"))
    return origin


def _known(document: Mapping[str, Any], *names: str) -> dict[str, Any]:
    ids = {name: document.get(name) for name in names}
    return {name: object_id(id) or id for name, id in ids.items() if isinstance(id, ObjectId | str) and id}
