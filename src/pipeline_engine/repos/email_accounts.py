"""Mailboxes: documents that the CRM makes, and the engine claims for as long as it reads one.

`folders` is what was read so far (see `domain/mailboxes/cursor.py`); only the holder of the claim changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either, fingerprint
from pipeline_engine.repos.changes import became, changed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import (
    LEASE_OWNER_INDEX,
    CollectionSpec,
    LeaseSpec,
    StuckQuestion,
    index,
    longer_ago,
)
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.own_fields import date, fields, number, text
from pipeline_engine.repos.store import Store

HOUR_SECONDS = 3600
LOGIN_FIELDS = ("host", "port", "security", "username", "password", "credential_id")
FOUND_FIELDS = ("account_id", *LOGIN_FIELDS, "failures", "tried_with", "error_code")

EMAIL_ACCOUNTS = CollectionSpec(
    "email_accounts",
    indexes=(index("active", "due_at"), index("account_id"), LEASE_OWNER_INDEX),
    lease=LeaseSpec(),
    wakes=(*became("active", True), *map(changed, (*LOGIN_FIELDS, "sync", "resync_asked_at", "reconcile_asked_at"))),
    stuck=(
        StuckQuestion(
            "mailboxes held for over an hour",
            {"lease_owner": {"$gt": ""}, **longer_ago("$claimed_at", HOUR_SECONDS)},
        ),
    ),
    own={
        **dict.fromkeys(
            ("lease_until", "claimed_at", "due_at", "first_read_at", "last_synced_at", "reconcile_due_at"), date
        ),
        **dict.fromkeys(("reconciled_at", "resync_asked_at", "reconcile_asked_at"), date),
        **dict.fromkeys(("token", "crashes", "failures"), number),
        **dict.fromkeys(("lease_owner", "status", "last_error", "error_code", "tried_with"), text),
        **dict.fromkeys(("folders", "trying", "fetched"), fields),
    },
)


def login_print(document: Mapping[str, Any]) -> str:
    """What tells whether the settings of the login were changed since a pass failed."""
    return fingerprint(*(document.get(name) for name in LOGIN_FIELDS)).hex()


class EmailAccounts(Leased):
    """Only one run at a time reads a mailbox."""

    spec = EMAIL_ACCOUNTS

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._clock = store.clock

    def claim_changes(self) -> Document:
        return {"claimed_at": "$$NOW"}

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        """One more than the passes that failed in a row."""
        failures = held.get("failures")
        return int(failures) + 1 if number(failures) else 1

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Count a failed pass; the next may begin after `seconds`."""
        await self.fail(held, "error", error, timedelta(seconds=seconds))

    async def fail(self, held: Mapping[str, Any], status: str, error: str, again_in: timedelta, code: str = "") -> None:
        """Release the mailbox after a pass that failed; `status` says in a word why, `code` is the error's."""
        values = {"status": status, "last_error": error, "error_code": code, "crashes": 0}
        values |= {"due_at": self._clock.now() + again_in}
        await self.release(held, {**values, "failures": self.attempt_of(held), "tried_with": login_print(held)})

    async def find_due(self, limit: int) -> list[Document]:
        """Active mailboxes of all accounts whose next pass is due, the longest due first; and those that rest after a
        failure, which their settings may have mended."""
        due = {"$or": [{"due_at": {"$not": {"$type": "date"}}}, {"due_at": {"$lte": self._clock.now()}}]}
        resting = {"failures": {"$gt": 0}}
        query = {"active": True, "$or": [due, resting], **await self.available()}
        return await self._all.find(query, limit=limit, sort=[("due_at", 1)], projection=[*FOUND_FIELDS, "due_at"])

    async def find_active(self, limit: int) -> list[Document]:
        """`{_id, account_id}` of active mailboxes, due or not."""
        query = {"active": True, **await self.available()}
        return await self._all.find(query, limit=limit, sort=[("_id", 1)], projection=["account_id"])

    async def abandoned(self) -> list[Document]:
        """`{_id, account_id}` of the mailboxes whose holder has died."""
        query = {"lease_owner": {"$gt": ""}, **self.unclaimed, **await self.available()}
        return await self._all.find(query, projection=["account_id"])

    async def latest(self, limit: int, account_id: ObjectId | None = None) -> list[Document]:
        """Mailboxes of one account, or of all, the newest first."""
        query = {"account_id": either(account_id)} if account_id else {}
        return await self._all.find(query, limit=limit, sort=[("_id", -1)])

    async def ask(self, id: ObjectId, what: str) -> bool:
        """Store that an operator asks for a resync or a reconcile, which the next pass does at once. Returns False when
        there is no such mailbox."""
        asked = {f"{what}_asked_at": "$$NOW", "due_at": None, "failures": 0}
        return await self._all.update_one({"_id": id}, [{"$set": asked}]) == 1

    async def troubled(self, late_since: datetime) -> list[Document]:
        """Active mailboxes of which the last pass failed, or was before `late_since`."""
        late = {"last_synced_at": {"$lt": late_since}}
        never = {"last_synced_at": None, "_id": {"$lt": ObjectId.from_datetime(late_since)}}
        query = {"active": True, "$or": [{"failures": {"$gt": 0}}, late, never]}
        return await self._all.find(query, sort=[("_id", 1)], limit=100)
