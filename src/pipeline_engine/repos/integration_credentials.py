"""OAuth credentials of integrations, which the CRM makes and the engine keeps alive.

A refresh claims the document, so that one at a time is made over all daemons. It stores its result only while `version`
and `refresh_token` are what it used: what the CRM wrote meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import either, forms_of
from pipeline_engine.repos.changes import became
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import LEASE_OWNER_INDEX, CollectionSpec, LeaseSpec, having, index
from pipeline_engine.repos.expressions import fields_or_missing, whole
from pipeline_engine.repos.lease import FREE, RELEASED
from pipeline_engine.repos.leased import Leased
from pipeline_engine.repos.own_fields import date, fields, number, text
from pipeline_engine.repos.store import Store

SECRETS = ("access_token", "refresh_token", "client_secret")
"""The fields that the engine encrypts."""
REAUTH_REQUIRED = "reauth_required"
UNUSED_FOR = timedelta(hours=23)
"""A grant that was not refreshed for so long is, so that it stays alive: a day, less what the daily job may be late."""

INTEGRATION_CREDENTIALS = CollectionSpec(
    "integration_credentials",
    indexes=(
        LEASE_OWNER_INDEX,
        index("account_id", "expires_at"),
        index("account_id", "sealed_by", **having("sealed_by")),
        index("account_id", "status"),
        index("account_id", "reauth.noted", **having("reauth.noted")),
    ),
    lease=LeaseSpec(),
    wakes=became("status", "ok"),
    own={
        **dict.fromkeys(("lease_until", "refreshed_at", "retry_at"), date),
        **dict.fromkeys(("token", "crashes", "failures"), number),
        **dict.fromkeys(("lease_owner", "sealed_by", "last_error"), text),
        "reauth": fields,
    },
)


class IntegrationCredentials(Leased):
    spec = INTEGRATION_CREDENTIALS

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._clock = store.clock

    def attempt_of(self, held: Mapping[str, Any]) -> int:
        """One more than the refreshes that failed in a row."""
        failures = held.get("failures")
        return int(failures) + 1 if number(failures) else 1

    async def of_account(self, account_id: ObjectId, id: Any) -> Document | None:
        """The credential of this id, else of the same id in its other form, ObjectId or text; None without one."""
        found = await self._own.find({"_id": {"$in": forms_of(id)}, "account_id": either(account_id)})
        return next((one for one in found if one["_id"] == id), found[0] if found else None)

    async def dead(self, ids: Sequence[ObjectId | str]) -> set[str]:
        """Those of these credentials, as text, that only a person can renew."""
        if not ids:
            return set()
        query = {"_id": {"$in": [form for id in ids for form in forms_of(id)]}, "status": REAUTH_REQUIRED}
        return {str(one["_id"]) for one in await self._all.find(query, projection=["_id"])}

    async def find_due(self, account_id: ObjectId, within: timedelta, limit: int) -> list[Document]:
        """Credentials to refresh now, the soonest to expire first: see `is_due`."""
        now = self._clock.now()
        not_date: Document = {"$not": {"$type": "date"}}
        soon = {"$or": [{"expires_at": {"$lte": now + within}}, {"expires_at": not_date}]}
        unused = {"$or": [{"refreshed_at": {"$lte": now - UNUSED_FOR}}, {"refreshed_at": not_date}]}
        free = {"$or": [{"retry_at": not_date}, {"retry_at": {"$lte": now}}]}
        # Without a refresh token nothing can be done, and the access token is good until it expires.
        usable = {"$or": [{"refresh_token": {"$nin": [None, ""]}}, {"expires_at": {"$lte": now}}]}
        mine = {"account_id": either(account_id), "status": {"$ne": REAUTH_REQUIRED}}
        query = {**mine, "$and": [soon, unused, free, usable]}
        return await self._own.find({**query, **await self.available()}, limit=limit, sort=[("expires_at", 1)])

    async def renew(self, held: Mapping[str, Any], values: Document) -> Document | None:
        """Store what a refresh returned, one version higher, and release the credential.

        Returns None when another run or the CRM has changed it since `held` was read.
        """
        again = {"retry_at": None, "last_error": None, "failures": 0, "refreshed_at": self._clock.now()}
        version = {"$add": [whole("$version"), 1]}
        return await self._change_same(held, values, **again, version=version, **RELEASED)

    async def require_reauth(self, held: Mapping[str, Any], reason: str) -> Document | None:
        """Mark the grant as dead: only a person can renew it. Returns as `renew`. `reauth.count` numbers such times."""
        count = {"$add": [whole("$reauth.count"), 1]}
        reauth = {"count": count, "at": "$$NOW", "reason": {"$literal": reason}, "noted": False}
        return await self._change_same(held, {"status": REAUTH_REQUIRED}, reauth=reauth, **RELEASED)

    async def fail(self, held: Mapping[str, Any], error: str, again_in: timedelta) -> None:
        """Release the credential after a refresh that may succeed later; the daily job leaves it out until then."""
        values = {"last_error": error, "retry_at": self._clock.now() + again_in}
        await self.release(held, values, failures={"$add": [whole("$failures"), 1]})

    async def _change_same(self, held: Mapping[str, Any], values: Document, **expressions: Any) -> Document | None:
        same = {name: {"$eq": held.get(name)} for name in ("version", "refresh_token")}
        literal = {name: {"$literal": value} for name, value in values.items()}
        update = [{"$set": {**literal, **expressions, "updatedAt": "$$NOW"}}]
        return await self._own.find_one_and_update({**self._held(held), **same}, update)

    async def find_abandoned(self, limit: int) -> list[Document]:
        """`{_id, account_id}` of credentials of all accounts whose holder's lease ran out."""
        query = {"lease_owner": {"$gt": ""}, "lease_until": {"$type": "date"}, **self.unclaimed}
        return await self._all.find({**query, **await self.available()}, limit=limit, projection=["account_id"])

    async def to_note(self, account_id: ObjectId, limit: int) -> list[Document]:
        """Credentials that need a person, for which no notification is stored."""
        query = {"account_id": either(account_id), "status": REAUTH_REQUIRED, "reauth.noted": {"$ne": True}}
        return await self._own.find(query, limit=limit)

    async def recovered(self, account_id: ObjectId, limit: int) -> list[Document]:
        """Credentials that a person has renewed, while a notification still asks for it."""
        query = {"account_id": either(account_id), "reauth.noted": True, "status": {"$ne": REAUTH_REQUIRED}}
        return await self._own.find(query, limit=limit)

    async def set_noted(self, document: Mapping[str, Any], noted: bool) -> None:
        """Store whether open notifications ask for this credential."""
        reauth = document.get("reauth") or {}
        query = {"_id": document["_id"], "account_id": {"$eq": document.get("account_id")}}
        if reauth.get("count") is not None:
            query["reauth.count"] = {"$eq": reauth["count"]}
        merged = {"$mergeObjects": [fields_or_missing("$reauth"), {"noted": noted}]}
        await self._own.update_one(query, [{"$set": {"reauth": merged, "updatedAt": "$$NOW"}}])

    async def sealed_otherwise(self, account_id: ObjectId, key_id: str, limit: int) -> list[Document]:
        """Credentials that the engine has encrypted with another key than this one."""
        query = {"account_id": either(account_id), "sealed_by": {"$exists": True, "$ne": key_id}}
        return await self._own.find(query, limit=limit)

    async def seal_again(self, document: Mapping[str, Any], values: Mapping[str, str], key_id: str) -> bool:
        """Store secrets under another key; False when one of them was changed since `document` was read, or a
        refresh is under way, which would lose its result."""
        same = {name: {"$eq": document.get(name)} for name in values}
        query = {"_id": document["_id"], "account_id": {"$eq": document.get("account_id")}, **same, **FREE}
        update = {"$set": {**values, "sealed_by": key_id}, "$currentDate": {"updatedAt": True}}
        return await self._own.update_one(query, update) == 1
