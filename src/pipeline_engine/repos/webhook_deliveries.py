"""Webhook deliveries: one document for each event (or test) that one endpoint is to receive, with its attempts.

An attempt is stored before its request is made, so that a crash in between leaves an attempt without a result, and
counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.clock import usable_date
from pipeline_engine.ids import derived_id, either
from pipeline_engine.repos.changes_apart import ChangesApart
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, CollectionSpec, index
from pipeline_engine.repos.expressions import ahead, id_or_none
from pipeline_engine.repos.own_fields import MAX_AHEAD, date, listing
from pipeline_engine.repos.quarantine import Quarantine
from pipeline_engine.repos.store import Store
from pipeline_engine.repos.webhooks import WEBHOOKS

ATTEMPT_SECONDS = 60.0
"""When a delivery whose attempt has no result is due again. An attempt takes a quarter of it at most."""
NAMES_ENDPOINT: Document = {"$eq": [{"$type": "$webhook_id"}, "objectId"]}
BRIEF = ["account_id", "webhook_id", "event_id", "type", "state", "attempts", "next_at", "createdAt", "reason"]

WEBHOOK_DELIVERIES = CollectionSpec(
    "webhook_deliveries",
    indexes=(
        index("state", "next_at", "webhook_id"),
        index("webhook_id", "state", "next_at"),
        index("account_id", "event_id"),
        index("batch"),
        EXPIRY_INDEX,
    ),
    # The engine's own fan-out dispatches what it inserts; a delivery with a payload of its own comes from elsewhere.
    wakes=({"operationType": "insert", "fullDocument.payload": {"$exists": True}},),
    own={"attempts": listing, "next_at": date, "expires_at": date},
)


@dataclass(frozen=True)
class NewDelivery:
    """An event for an endpoint. The same event and endpoint make one delivery, however often it is added.

    `payload` ({occurred_at, data}) is for what is no event of `crm_events`; else the event is read when it is sent.
    """

    account_id: ObjectId
    webhook_id: ObjectId
    event_id: str
    type: str
    payload: Mapping[str, Any] | None = None

    @property
    def id(self) -> ObjectId:
        """The `_id` of the delivery, of which `webhook-id` is made."""
        return derived_id("webhook delivery", self.webhook_id, self.event_id)

    def document(self, now: datetime, days: float) -> Document:
        """The delivery as it is stored: due now, removed after so many days."""
        return {
            "_id": self.id,
            "account_id": self.account_id,
            "webhook_id": self.webhook_id,
            "event_id": self.event_id,
            "type": self.type,
            **({} if self.payload is None else {"payload": dict(self.payload)}),
            "state": "pending",
            "attempts": [],
            "next_at": now,
            "createdAt": now,
            "updatedAt": now,
            "expires_at": now + timedelta(days=days),
        }


@dataclass(frozen=True)
class DeliveryEnd:
    """What the end of an attempt makes of a delivery; without an attempt counted, `attempts` are those before it."""

    delivery: Mapping[str, Any]
    state: str
    attempts: Sequence[Mapping[str, Any]]
    next_at: datetime | None


class WebhookDeliveries:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(WEBHOOK_DELIVERIES)
        self._all = self._own.everywhere
        self._quarantine = Quarantine(store)
        self._changes = ChangesApart(self._all, self._quarantine)
        self._clock = store.clock
        self._days = store.settings.webhook_delivery_days

    async def add(self, deliveries: Sequence[NewDelivery]) -> None:
        """Insert the deliveries that are missing; they are due at once."""
        now = self._clock.now()
        await self._own.insert_missing([one.document(now, self._days) for one in deliveries])

    async def repeat(self, deliveries: Sequence[NewDelivery]) -> None:
        """As `add`; those that have ended are due once more, with all their attempts."""
        await self.add(deliveries)
        now = self._clock.now()
        change = {"state": "pending", "attempts": [], "next_at": now, "updatedAt": now}
        writes = [
            UpdateOne(
                {"_id": one.id, "account_id": one.account_id, "state": {"$ne": "pending"}},
                {
                    "$set": {**change, "expires_at": now + timedelta(days=self._days)},
                    "$inc": {"repeats": 1},
                    "$unset": {"reason": ""},
                },
            )
            for one in deliveries
        ]
        if writes:
            await self._own.bulk(writes)

    async def record(self, new: NewDelivery, attempt: Mapping[str, Any], state: str) -> None:
        """Insert a delivery whose only attempt has been made."""
        document = new.document(self._clock.now(), self._days)
        await self._own.insert_one({**document, "state": state, "attempts": [attempt], "next_at": None})

    async def due_endpoints(self, until: datetime) -> list[Document]:
        """{_id: webhook id, account_id} of all endpoints with deliveries due by `until`, but those that are set aside.
        `_id` is None for all deliveries of which the `webhook_id` is no ObjectId."""
        endpoint = {"$cond": [NAMES_ENDPOINT, "$webhook_id", None]}
        group = {"$group": {"_id": endpoint, "account_id": {"$first": id_or_none("$account_id")}}}
        aside = await self._quarantine.others(WEBHOOKS.name)
        reachable = {"webhook_id": aside["_id"]} if aside else {}
        return await self._all.aggregate({**await self._due(until), **reachable}, group)

    async def set_nameless_aside(self, limit: int) -> None:
        """Set due deliveries aside of which the `webhook_id` can name no endpoint."""
        query = {**await self._due(self._clock.now()), "$expr": {"$not": [NAMES_ENDPOINT]}}
        for one in await self._all.find(query, limit=limit, projection=["_id"]):
            await self._quarantine.add(WEBHOOK_DELIVERIES.name, one["_id"], "webhook_id is no ObjectId")

    async def find_due(self, account_id: ObjectId, webhook_id: ObjectId, limit: int) -> list[Document]:
        """`{_id, attempts}` of the endpoint's deliveries that are due, the longest due first."""
        query = {"account_id": either(account_id), "webhook_id": webhook_id, **await self._due(self._clock.now())}
        found = await self._own.find(query, limit=limit, sort=[("next_at", 1)], projection=["attempts"])
        return [{"attempts": [], **one} for one in found]

    async def find_all_due(self, limit: int) -> list[Document]:
        """Deliveries of all endpoints that are due, the longest due first: `run-once` counts them."""
        query = await self._due(self._clock.now())
        return await self._all.find(query, limit=limit, sort=[("next_at", 1)], projection=["account_id", "webhook_id"])

    async def next_due_at(self, account_id: ObjectId, webhook_id: ObjectId) -> datetime | None:
        """When the endpoint's next delivery is due; None without one."""
        query = {"account_id": either(account_id), "webhook_id": webhook_id, "state": "pending"}
        query |= {"next_at": {"$type": "date"}, **await self._quarantine.others(WEBHOOK_DELIVERIES.name)}
        found = await self._own.find(query, limit=1, sort=[("next_at", 1)], projection=["next_at"])
        return usable_date(found[0].get("next_at")) if found else None

    async def _due(self, until: datetime) -> Document:
        """Every pending delivery but those with a time to come that the engine can have written."""
        odd: Document = {"next_at": {"$not": {"$type": "date"}}}
        too_late: Document = {"next_at": {"$gt": self._clock.now() + MAX_AHEAD}}
        due = {"state": "pending", "$or": [{"next_at": {"$lte": until}}, odd, too_late]}
        return {**due, **await self._quarantine.others(WEBHOOK_DELIVERIES.name)}

    async def begin(self, account_id: ObjectId, webhook_id: ObjectId, ids: Sequence[Any]) -> list[Document]:
        """Count an attempt of each of these deliveries that is still due, before it is made; returns those."""
        batch, now = ObjectId(), self._clock.now()
        mine = {"account_id": either(account_id), "webhook_id": webhook_id, "_id": {"$in": list(ids)}}
        attempts = {"$cond": [{"$isArray": "$attempts"}, "$attempts", []]}
        change = {
            "attempts": {"$concatArrays": [attempts, [{"at": now, "status": None, "ms": None, "error": None}]]},
            "batch": batch,
            "next_at": now + timedelta(seconds=ATTEMPT_SECONDS),
            "updatedAt": now,
        }
        await self._changes.update({**mine, "$and": [await self._due(now)]}, [{"$set": change}])
        found = {one["_id"]: one for one in await self._own.find({**mine, "batch": batch})}
        return [found[id] for id in ids if id in found]

    async def end(self, ends: Sequence[DeliveryEnd]) -> None:
        """Store how attempts ended, unless another run has begun a later one."""
        if ends:
            await self._changes.bulk([(one.delivery["_id"], self._end(one)) for one in ends])

    def _end(self, end: DeliveryEnd) -> UpdateOne:
        was = {name: end.delivery[name] for name in ("_id", "account_id", "batch")}
        change = {"state": end.state, "attempts": list(end.attempts), "next_at": end.next_at}
        return UpdateOne(
            {**was, "account_id": {"$eq": was["account_id"]}, "state": "pending"},
            {"$set": {**change, "updatedAt": self._clock.now()}, "$unset": {"batch": ""}},
        )

    async def hold(self, account_id: ObjectId, webhook_id: ObjectId) -> None:
        """Keep what is pending from being due for as long as its endpoint is disabled."""
        query = {"account_id": either(account_id), "webhook_id": webhook_id, "state": "pending"}
        days = {"$add": ["$$NOW", round(self._days * 86_400_000)]}
        until = {"$cond": [ahead("$expires_at"), "$expires_at", days]}
        await self._changes.update(query, [{"$set": {"held": True, "next_at": until}}])

    async def let_go(self, account_id: ObjectId, webhook_id: ObjectId) -> int:
        """Make what was held due now. Returns how many there were."""
        query = {"account_id": either(account_id), "webhook_id": webhook_id, "state": "pending", "held": True}
        change: list[Document] = [{"$set": {"next_at": self._clock.now()}}, {"$unset": ["held"]}]
        return await self._changes.update(query, change)

    async def let_cut_go(self, account_id: ObjectId, webhook_id: ObjectId) -> None:
        """Make due now what another run had begun; the caller knows that it has ended, for it holds the endpoint."""
        query = {"account_id": either(account_id), "webhook_id": webhook_id, "state": "pending"}
        change: list[Document] = [{"$set": {"next_at": self._clock.now()}}, {"$unset": ["batch"]}]
        await self._changes.update({**query, "batch": {"$exists": True}}, change)

    async def fail_pending(self, webhook_id: ObjectId) -> int:
        """Give up what is pending for an endpoint that no longer exists. Returns how many there were."""
        return await self._fail({"webhook_id": webhook_id}, "its endpoint no longer exists")

    async def fail_foreign(self, account_id: ObjectId, webhook_id: ObjectId) -> int:
        """Give up what is pending for the account's endpoint under another account. Returns how many there were."""
        foreign = {"webhook_id": webhook_id, "account_id": {"$nin": either(account_id)["$in"]}}
        return await self._fail(foreign, "its endpoint belongs to another account")

    async def give_up(self, account_id: ObjectId, id: Any, reason: str) -> None:
        """End a pending delivery as failed."""
        await self._fail({"_id": id, "account_id": either(account_id)}, reason)

    async def _fail(self, query: Document, reason: str) -> int:
        change = {"state": "failed", "next_at": None, "reason": {"$literal": reason}, "updatedAt": "$$NOW"}
        return await self._changes.update({**query, "state": "pending"}, [{"$set": change}])

    async def latest(self, webhook_id: ObjectId, limit: int, state: str | None = None) -> list[Document]:
        """The endpoint's deliveries, the newest first, without what was sent."""
        query = {"webhook_id": webhook_id, **({"state": state} if state else {})}
        return await self._all.find(query, limit=limit, sort=[("createdAt", -1)], projection=BRIEF)

    async def of_event(self, account_id: ObjectId, event_id: str) -> list[Document]:
        """The deliveries of an event, the oldest first, without what was sent."""
        query = {"account_id": either(account_id), "event_id": event_id}
        return await self._own.find(query, sort=[("createdAt", 1)], projection=BRIEF)

    async def states(self, ids: Sequence[ObjectId]) -> dict[str, str]:
        """{id as text: state} of the deliveries that exist, of any account."""
        found = await self._all.find({"_id": {"$in": list(ids)}}, projection=["state"])
        return {str(one["_id"]): str(one.get("state")) for one in found}
