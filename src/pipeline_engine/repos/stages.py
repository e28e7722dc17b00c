"""Pipeline stages, found by name key: at most one per (account, pipeline, key), however many rows need it at once."""

from __future__ import annotations

from collections.abc import Callable

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from pipeline_engine.ids import derived_id, either
from pipeline_engine.repos.changes import changed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.store import Store

PIPELINE_STAGES = CollectionSpec(
    "pipeline_stages",
    indexes=(
        index("account_id", "pipeline_id", "name_key", unique=True, **having("name_key")),
        index("pipeline_id", "name_key"),
        index("account_id", **having("automation_paused"), name="account_id_paused"),
    ),
    wakes=(changed("automation_paused"),),
)


class Stages:
    """The documents of `pipeline_stages`. `name_key` is the normalised name, which only the engine writes."""

    def __init__(self, store: Store) -> None:
        self._own = store.collection(PIPELINE_STAGES)

    async def of_pipeline(self, account_id: ObjectId, pipeline_id: ObjectId) -> list[Document]:
        """The stages of a pipeline in the order in which the CRM shows them."""
        query = {"account_id": either(account_id), "pipeline_id": either(pipeline_id)}
        return await self._own.find(query, sort=[("position", 1), ("_id", 1)])

    async def give_keys(self, account_id: ObjectId, pipeline_id: ObjectId, key: Callable[[str], str]) -> None:
        """Give stages that lack it the `name_key` that `key` makes of their name.

        Of stages with one key, the oldest gets it.
        """
        stages = await self.of_pipeline(account_id, pipeline_id)
        taken = {stage["name_key"] for stage in stages if "name_key" in stage}
        for stage in sorted(stages, key=lambda stage: ObjectId(stage["_id"])):
            name_key = key(str(stage.get("name") or ""))
            if "name_key" in stage or not name_key or name_key in taken:
                continue
            taken.add(name_key)
            await self._set_key(stage, name_key)

    async def _set_key(self, stage: Document, name_key: str) -> None:
        query = {"_id": stage["_id"], "account_id": stage["account_id"], "name_key": {"$exists": False}}
        try:
            await self._own.update_one(query, {"$set": {"name_key": name_key}})
        except DuplicateKeyError:
            return  # another import was quicker with a stage of the same name

    async def find_or_create(
        self, account_id: ObjectId, pipeline_id: ObjectId, name_key: str, name: str, user: ObjectId
    ) -> ObjectId:
        """The id of the stage with that key; without one, a new stage is inserted behind the others.

        The new stage's `_id` is derived from the key, so that even while the unique index is missing, no two daemons
        insert it twice.
        """
        position = 1 + await self._last_position(account_id, pipeline_id)
        key = {"account_id": account_id, "pipeline_id": pipeline_id, "name_key": name_key}
        # A stage may be called "$lost", which must not be read as an expression.
        new = {
            "_id": derived_id("stage", account_id, pipeline_id, name_key),
            "name": {"$literal": name},
            "user": user,
            "position": position,
            "createdAt": "$$NOW",
            "updatedAt": "$$NOW",
        }
        missing = {field: {"$ifNull": [f"${field}", value]} for field, value in new.items()}
        try:
            stage = await self._own.find_one_and_update(key, [{"$set": missing}], upsert=True)
        except DuplicateKeyError:
            stage = await self._own.find_one(key)
            if stage is None:  # the CRM has moved the stage of that `_id`, or took its key away
                missing["_id"] = {"$ifNull": ["$_id", ObjectId()]}
                stage = await self._own.find_one_and_update(key, [{"$set": missing}], upsert=True)
        assert stage is not None  # noqa: S101 - an upsert that returns the document after it
        return ObjectId(stage["_id"])

    async def _last_position(self, account_id: ObjectId, pipeline_id: ObjectId) -> int:
        query = {"account_id": either(account_id), "pipeline_id": either(pipeline_id), "position": {"$type": "number"}}
        last = await self._own.find(query, limit=1, sort=[("position", -1)], projection=["position"])
        return int(last[0]["position"]) if last else -1
