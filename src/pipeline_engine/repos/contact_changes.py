"""Changes of contacts after which other documents must follow: history rows, tasks, enrolments.

The change stands in the contact together with a note of what must follow, so that a crash in between loses nothing: the
next run finds the note, writes what follows under derived ids, and removes the note.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.contacts import CONTACTS, literal, with_event
from pipeline_engine.repos.id_pages import Place, read_page
from pipeline_engine.repos.store import Store

FIRST_MOMENT = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ContactChange:
    """`guard` must still hold of the contact. `event` is an entry of `events_due`."""

    contact: Any
    guard: Document
    set: Document
    follows: Document
    event: Document


class ContactChanges:
    """`note` is the field of the contact that says what must follow."""

    def __init__(self, store: Store, note: str) -> None:
        self._own = store.collection(CONTACTS)
        self._note = note

    async def page(
        self, account_id: ObjectId, query: Mapping[str, Any], after: Place, limit: int, *fields: str
    ) -> list[Document]:
        """Contacts that match, with these fields, in the order of their ids behind `after`."""
        mine = {"account_id": either(account_id), **query}
        return await read_page(self._own, mine, "_id", after, limit, fields)

    async def change(self, account_id: ObjectId, changes: Sequence[ContactChange]) -> int:
        """Make the changes whose guard holds. Returns how many the server refuses."""
        writes = [
            UpdateOne(
                {"_id": one.contact, "account_id": either(account_id), **one.guard, self._note: None},
                [
                    {
                        "$set": {
                            **literal({**one.set, self._note: one.follows}),
                            "events_due": with_event({"$literal": one.event}),
                            "updatedAt": "$$NOW",
                        }
                    }
                ],
            )
            for one in changes
        ]
        return len(await self._own.bulk_refusals(writes))

    async def noted(self, account_id: ObjectId, limit: int, *fields: str) -> AsyncIterator[list[Document]]:
        """Contacts after whose change something must follow, with the note, `events_due` and these fields. The notes of
        one list are to be removed before the next is asked for. What stands under an `_id` of another type is no
        contact that the engine changes."""
        query = {
            "_id": {"$type": ["objectId", "string"]},
            "account_id": either(account_id),
            f"{self._note}.at": {"$gt": FIRST_MOMENT},
        }
        shown = ["account_id", "events_due", self._note, *fields]
        seen: set[Any] = set()
        while found := await self._own.find(query, limit=limit, projection=shown):
            new = [one for one in found if one["_id"] not in seen]
            if not new:  # the server keeps their notes, whatever is written
                return
            seen |= {one["_id"] for one in new}
            yield new

    async def settled(self, account_id: ObjectId, contacts: Sequence[Document]) -> None:
        """Remove the notes of these contacts, as they were read: all that follows is stored."""
        writes = [
            UpdateOne(
                {"_id": one["_id"], "account_id": either(account_id), self._note: {"$eq": one[self._note]}},
                {"$unset": {self._note: ""}},
            )
            for one in contacts
        ]
        if writes:
            await self._own.bulk(writes)
