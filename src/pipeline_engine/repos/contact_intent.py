"""Intent scores of an account's contacts, many at a time, and the signals that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.ids import either, object_id
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.contact_records import INTENT_SIGNALS
from pipeline_engine.repos.contacts import CONTACTS, intent_update
from pipeline_engine.repos.id_pages import Place, read_page
from pipeline_engine.repos.store import Store


@dataclass(frozen=True)
class Intent:
    """What a contact's intent becomes. `before` are the score and level at which the signals were read,
    `level_at_score` is the level at that score, for a contact without one."""

    score: float
    level: str
    before: tuple[object, object]
    level_at_score: str
    event: Document
    """As `Contacts.set_intent` takes it."""

    @property
    def crosses(self) -> bool:
        """Whether the contact comes to another level."""
        return (self.before[1] or self.level_at_score) != self.level


class ContactIntent:
    def __init__(self, store: Store) -> None:
        self._signals = store.collection(INTENT_SIGNALS)
        self._contacts = store.collection(CONTACTS)

    async def next_contacts(self, account_id: ObjectId, after: Place, limit: int) -> tuple[list[ObjectId], Place]:
        """The contacts of the next `limit` signals not expired, and the place behind them: `after` at the end.

        Of signals whose contact_id is no id there are no contacts, and yet a place."""
        query = {"account_id": either(account_id), "expired_at": None}
        found = await read_page(self._signals, query, "contact_id", after, limit, [])
        if not found:
            return [], after
        ids = dict.fromkeys(id for one in found if (id := object_id(one["contact_id"])))
        return list(ids), found[-1]["contact_id"]

    async def signals(self, account_id: ObjectId, contacts: Sequence[ObjectId]) -> list[Document]:
        """The signals of these contacts that have not expired."""
        query = {"contact_id": {"$in": [*contacts, *map(str, contacts)]}, "expired_at": None}
        fields = ["contact_id", "type", "points", "occurred_at"]
        return await self._signals.find({"account_id": either(account_id), **query}, projection=fields)

    async def set(self, account_id: ObjectId, intents: Mapping[ObjectId, Intent]) -> int:
        """Set the scores of contacts whose score is still as before, as `Contacts.set_intent`. A score that changed
        since was computed from all signals by the run that set it. Returns how many the server refuses to change."""
        mine = {"account_id": either(account_id)}
        writes = [
            UpdateOne({"_id": either(id), **mine, **_as_before(one)}, _update(one)) for id, one in intents.items()
        ]
        return len(await self._contacts.bulk_refusals(writes))

    async def expire(self, account_id: ObjectId, ids: Sequence[object], now: datetime) -> None:
        """Mark signals as expired: no score counts them any more. They are kept as facts of the contact."""
        if ids:
            query = {"_id": {"$in": list(ids)}, "account_id": either(account_id)}
            await self._signals.update_many(query, {"$set": {"expired_at": now}})


def _as_before(intent: Intent) -> Document:
    score, level = intent.before
    return {"intent_score": {"$eq": score}, "intent_level": {"$eq": level}}


def _update(intent: Intent) -> list[Document]:
    event = intent.event if intent.crosses else None
    return intent_update(intent.score, intent.level, event, intent.level_at_score)
