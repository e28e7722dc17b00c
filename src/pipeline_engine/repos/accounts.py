"""Accounts, their users, and whether a document that another one points at belongs to the same account."""

from __future__ import annotations

from collections.abc import Collection as Several
from collections.abc import Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.errors import Permanent
from pipeline_engine.ids import either, forms_of, object_id
from pipeline_engine.repos.changes import changed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

ACCOUNTS = CollectionSpec("_accounts", wakes=(changed("automation_paused"),))
USERS = CollectionSpec("users", indexes=(index("account"),))


FIELDS = ("active", "parent_account", "timezone", "country", "limits", "automation_paused")
"""The CRM may keep megabytes in other fields, and every job reads its account."""


class Accounts:
    """The documents of `_accounts`. Nothing here asks for `account_id`: the account is the document itself."""

    def __init__(self, store: Store) -> None:
        self._all = store.collection(ACCOUNTS).everywhere

    async def get(self, account_id: ObjectId) -> Document:
        """What the engine reads of the account (`FIELDS`); empty where the CRM keeps no document of it."""
        return await self._all.find_one({"_id": either(account_id)}, projection=FIELDS) or {}

    async def inactive(self, ids: Sequence[str]) -> set[str]:
        """Those of the accounts, by their ids as text, that are not active."""
        forms = [form for id in ids for form in forms_of(id)]
        found = await self._all.find({"_id": {"$in": forms}, "active": False}, projection=["_id"]) if ids else []
        return {str(one["_id"]) for one in found}

    async def whole(self, account_id: ObjectId) -> Document:
        """The account's document as templates may name it; empty where the CRM keeps none."""
        return await self._all.find_one({"_id": either(account_id)}) or {}

    async def for_messages(self, account_id: ObjectId) -> tuple[Document, Document]:
        """As `whole`, and what the account's business profile says about sending (`send_window`, `timezone`), in one
        round trip."""
        first = [{"$match": {"account_id": either(account_id)}}, {"$sort": {"_id": 1}}, {"$limit": 1}]
        project = {"_id": 0, "profile": {"send_window": "$send_window", "timezone": "$timezone"}}
        profiles = {"coll": "business_profiles", "pipeline": [*first, {"$project": project}]}
        found = await self._all.aggregate({"_id": either(account_id)}, {"$unionWith": profiles})
        account = next((one for one in found if "_id" in one), {})
        return account, next((one["profile"] for one in found if "_id" not in one), {})

    async def visible_to(self, account_id: ObjectId, others: Several[ObjectId]) -> set[ObjectId]:
        """Those of `others` whose documents the account may read: itself, and those under the same parent account."""
        seen = {account_id} & set(others)
        if not (strangers := set(others) - seen):
            return seen
        parent = object_id((await self.get(account_id)).get("parent_account"))
        if parent is None:
            return seen
        siblings = {"_id": {"$in": [*strangers, *map(str, strangers)]}, "parent_account": either(parent)}
        return seen | {ObjectId(one["_id"]) for one in await self._all.find(siblings, projection=["_id"])}


class Users:
    """The documents of `users`, which name their account `account`."""

    def __init__(self, store: Store) -> None:
        self._all = store.collection(USERS).everywhere
        self._members = store.collection("team_members").everywhere

    async def admins(self, account_id: ObjectId) -> list[Any]:
        """As `members`, of those who are admins."""
        return await self.members(account_id, "admin")

    async def members(self, account_id: ObjectId, role: str | None = None) -> list[Any]:
        """The user ids of the account's active team members, of all or of one role, as they are stored, in their order.
        A member whose user is not active is none."""
        mine = {"$or": [{"account_id": either(account_id)}, {"account": either(account_id)}]}
        query = {**mine, **({"role": role} if role else {}), "active": {"$ne": False}}
        found = await self._members.find(query, projection=["user_id", "user"])
        users = {str(id): id for one in found if (id := one.get("user_id") or one.get("user"))}
        if not users:
            return []
        ids = [id for text in users if (id := object_id(text))]
        inactive = {"_id": {"$in": [*ids, *users]}, "account": either(account_id), "active": False}
        gone = await self._all.find(inactive, projection=["_id"])
        return [users[text] for text in sorted(users.keys() - {str(one["_id"]) for one in gone})]

    async def active_ids(self, account_id: ObjectId) -> list[str]:
        """The ids of the account's active users, who receive its socket events."""
        query = {"account": either(account_id), "active": True}
        return [str(one["_id"]) for one in await self._all.find(query, sort=[("_id", 1)], projection=["_id"])]


class References:
    """Checks of ownership. They read documents of all accounts on purpose.

    A document that the CRM does not keep counts as the account's own: only what is certainly foreign is refused, and a
    user whom the account does not have while it has others."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def account_is_active(self, account_id: ObjectId) -> bool:
        """Whether the account may be worked for; true also where the CRM keeps no document of it."""
        account = await self._all("_accounts").find_one({"_id": either(account_id)}, projection=["active"])
        return account is None or account.get("active", True) is not False

    async def check(self, collection: str, ids: Sequence[ObjectId], account_id: ObjectId) -> None:
        """Return if the account may refer to all of these documents.

        Raises: Permanent `foreign_reference` naming those that exist under another account and not under this one;
        `inactive_user` and `missing_user` naming users that are inactive, or not among the users of the account.
        """
        if not ids:
            return
        wanted: Document = {"_id": {"$in": [*ids, *map(str, ids)]}}
        found = await self._all(collection).find(wanted, projection=["account_id", "account", "active"])
        if foreign := sorted(str(one["_id"]) for one in found if not _belongs(one, account_id)):
            raise Permanent(f"{collection} of another account: {', '.join(foreign)}", "foreign_reference")
        if collection == USERS.name:
            await self._check_users(ids, found, account_id)

    async def unknown(self, collection: str, id: ObjectId) -> bool:
        """Whether the CRM keeps such documents, and this is not among them."""
        documents = self._all(collection)
        if await documents.find_one({"_id": either(id)}, projection=["_id"]):
            return False
        return await documents.find_one({}, projection=["_id"]) is not None

    async def _check_users(self, ids: Sequence[ObjectId], found: Sequence[Document], account_id: ObjectId) -> None:
        if inactive := sorted(str(one["_id"]) for one in found if one.get("active", True) is False):
            raise Permanent(f"inactive users: {', '.join(inactive)}", "inactive_user")
        missing = sorted({*map(str, ids)} - {str(one["_id"]) for one in found})
        # An account without any user is one whose users the CRM keeps elsewhere.
        if missing and await self._all(USERS.name).find_one({"account": either(account_id)}, projection=["_id"]):
            raise Permanent(f"no such users: {', '.join(missing)}", "missing_user")

    def _all(self, collection: str) -> Collection:
        return self._store.collection(collection).everywhere


def _belongs(document: Document, account_id: ObjectId) -> bool:
    owners: list[Any] = [document[name] for name in ("account_id", "account") if document.get(name) is not None]
    return not owners or account_id in map(object_id, owners)
