"""Deals, as imports write them, and the changes of deals that wake automations."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId
from pymongo.collation import Collation
from pymongo.errors import BulkWriteError

from pipeline_engine.failpoints import failpoint
from pipeline_engine.repos.changes import INSERTED, changed, pushed
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import DUPLICATE_KEY
from pipeline_engine.repos.collection_spec import CollectionSpec, PlaceSpec, having, index
from pipeline_engine.repos.own_fields import fields, listing
from pipeline_engine.repos.store import Store

# Watermarks assume that a deal's time of entry is the time of the change; `IS_LATE` finds the exceptions.
ENTERED: Document = {
    "$ifNull": ["$fullDocument.automation_starts", "$updateDescription.updatedFields.automation_starts"]
}
STAGE: Document = {"$ifNull": ["$fullDocument.stage_id", "$updateDescription.updatedFields.stage_id"]}
CHANGED_AT: Document = {"$ifNull": ["$wallTime", "$$NOW"]}  # servers before 6.0 do not send it


def _around(seconds: int) -> Document:
    return {"$dateAdd": {"startDate": CHANGED_AT, "unit": "second", "amount": seconds}}


IS_LATE: Document = {
    "$and": [
        {"$ne": [{"$ifNull": [ENTERED, STAGE, None]}, None]},
        {"$lt": [{"$ifNull": [ENTERED, None]}, _around(-30)]},
    ]
}
# A time of entry just after the change may still lie ahead by the engine's clock. Other times are not sent, because
# Python cannot hold every date.
DUE_AT: Document = {
    "$cond": [{"$and": [{"$gt": [ENTERED, _around(-5)]}, {"$lt": [ENTERED, _around(60)]}]}, ENTERED, "$$REMOVE"]
}

ORIGIN = ("import_id", "import_row", "retry_of", "retry_position")
"""Which row of which import a deal was; the last two only where that was a row of a corrected error CSV."""

WITHOUT_CASE = Collation("en", strength=2)

DEALS = CollectionSpec(
    "deals",
    indexes=(
        index("account_id", "stage_id", "automation_starts", "_id"),
        index("account_id", "_id"),
        index("account_id", "contact_id", **having("contact_id")),
        index("retry_automations", partialFilterExpression={"retry_automations.0": {"$exists": True}}),
    ),
    wakes=(
        # Deals that an import inserts do not wake one by one: the end of their chunk does.
        {**INSERTED, "fullDocument.import_id": {"$exists": False}},
        *(changed(field) for field in ("stage_id", "automation_starts", "retry_automations")),
        pushed("retry_automations"),
    ),
    place=PlaceSpec("stage_id", place=STAGE, due_at=DUE_AT, is_late=IS_LATE),
    own={
        **dict.fromkeys(("automation_triggered", "automation_failed", "automation_moves"), listing),
        "automation_generation": fields,
    },
)


class Deals:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(DEALS)
        self._all = store.collection(DEALS).everywhere

    async def insert(self, deals: Sequence[Document]) -> dict[int, str]:
        """Insert the deals. Returns {place in `deals`: why} of those that the server refused.

        The reason is empty for an `_id` that is taken: the caller finds out by which deal (`origins`)."""
        try:
            await self._own.insert_many(deals, ordered=False)
        except BulkWriteError as failure:
            if failure.details.get("writeConcernErrors"):
                raise
            return {error["index"]: _why(error) for error in failure.details["writeErrors"]}
        return {}

    async def origins(self, ids: Sequence[ObjectId]) -> dict[ObjectId, Document]:
        """{_id: its `ORIGIN` fields} of the deals of any account with these ids."""
        found = await self._all.find({"_id": {"$in": list(ids)}}, projection=ORIGIN)
        return {deal["_id"]: deal for deal in found}

    async def index_by(self, field: str) -> None:
        """Have `like` find deals by this field without reading all of the account; a repeat changes nothing."""
        async with failpoint("mongo.deals.create_index"):
            await self._own.raw.create_index([("account_id", 1), (field, 1)], collation=WITHOUT_CASE)

    async def like(self, account_id: ObjectId, fields: Sequence[str], values: Sequence[str]) -> list[Document]:
        """`fields` and `ORIGIN` of the deals whose first of these fields has one of the values, without case."""
        query = {"account_id": account_id, fields[0]: {"$in": list(values)}}
        return await self._own.find(query, projection=[*fields, *ORIGIN], collation=WITHOUT_CASE)

    async def count(self, account_id: ObjectId, import_id: ObjectId, ids: Sequence[ObjectId]) -> int:
        """How many of these deals exist and come from the import."""
        return await self._own.count({"_id": {"$in": list(ids)}, "account_id": account_id, "import_id": import_id})


def _why(error: Document) -> str:
    if error["code"] != DUPLICATE_KEY:
        return str(error["errmsg"])
    if (fields := list(error.get("keyPattern", {"_id": 1}))) == ["_id"]:
        return ""
    # A unique index of the CRM. The server's message would quote the other deal.
    return f"another deal has the same {', '.join(fields)}"
