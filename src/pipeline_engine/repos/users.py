"""The users of an account."""

from __future__ import annotations

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

USERS = CollectionSpec(
    "users",
    indexes=(index("account"),),
)


class Users:
    def __init__(self, store: Store) -> None:
        self._all = store.collection(USERS).everywhere  # they name their account `account`

    async def active(self, account_id: ObjectId) -> list[str]:
        """The ids of those who may look on."""
        query = {"account": either(account_id), "active": True}
        return [str(one["_id"]) for one in await self._all.find(query, sort=[("_id", 1)], projection=["_id"])]
