"""What each account has used of its daily tokens of the language model.

One document per account and day: `{_id: "<account>:<day>", account_id, day, calls: {key: tokens}, expires_at}`. Tokens
are reserved before a call and corrected after it, each call under a key of its own, so that a repeat counts once.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import EXPIRY_INDEX, CollectionSpec
from pipeline_engine.repos.expressions import fields_or_missing
from pipeline_engine.repos.own_fields import fields
from pipeline_engine.repos.store import Store

RETENTION = timedelta(days=30)

LLM_USAGE = CollectionSpec("llm_usage", indexes=(EXPIRY_INDEX,), own={"calls": fields})


class LlmUsage:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(LLM_USAGE)
        self._clock = store.clock

    async def reserve(self, account_id: ObjectId, day: str, tokens: int, limit: int) -> str | None:
        """Reserve tokens of the account's day. Returns the key of the reservation, None when more than `limit` would
        be used. What a crash leaves reserved counts as used."""
        key = secrets.token_hex(8)
        known: Document = {"$ifNull": [fields_or_missing("$calls"), {}]}
        used = {"$sum": {"$map": {"input": {"$objectToArray": known}, "in": "$$this.v"}}}
        fits = {"$lte": [{"$add": [used, tokens]}, limit]}
        calls = {"$cond": [fits, {"$mergeObjects": [known, {key: tokens}]}, known]}
        expires = self._clock.now() + RETENTION
        change = {"account_id": account_id, "day": day, "calls": calls, "expires_at": expires, "updatedAt": "$$NOW"}
        change["createdAt"] = {"$ifNull": ["$createdAt", "$$NOW"]}
        query = {"_id": _id(account_id, day), "account_id": account_id}
        try:
            stored = await self._own.find_one_and_update(query, [{"$set": change}], upsert=True)
        except DuplicateKeyError:  # another run made the document at the same moment
            stored = await self._own.find_one_and_update(query, [{"$set": change}])
        return key if stored and key in stored.get("calls", {}) else None

    async def settle(self, account_id: ObjectId, day: str, key: str, tokens: int) -> None:
        """Replace what was reserved by what was used."""
        query = {"_id": _id(account_id, day), "account_id": account_id, f"calls.{key}": {"$exists": True}}
        await self._own.update_one(query, {"$set": {f"calls.{key}": tokens}})


def _id(account_id: ObjectId, day: str) -> str:
    return f"{account_id}:{day}"
