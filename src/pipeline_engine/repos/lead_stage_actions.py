"""The rows of a lead stage: the actions of its run with their pinned configuration. They follow `lead_stages`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from pipeline_engine.ids import derived_id, either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, index
from pipeline_engine.repos.store import Store

Rows = Sequence[Document]
IDENTITY = ("_id", "account_id", "lead_id", "lead_stage_id", "sequence_number", "createdAt")
"""What stays when a row is replaced."""
OPEN_ROWS = ("waiting", "pending", "running", "waiting_response", "waiting_task")
"""The states of a row whose action has not ended."""

LEAD_STAGE_ACTIONS = CollectionSpec(
    "lead_stage_actions",
    indexes=(index("lead_stage_id", "sequence_number", unique=True),),
)
PIPELINE_STAGE_ACTIONS = CollectionSpec("pipeline_stage_actions", indexes=(index("account_id", "stage_id"),))


def row_id(lead_stage_id: Any, sequence: int) -> ObjectId:
    """The `_id` of a row, the same in every daemon and attempt that inserts it."""
    return derived_id("lead_stage_action", lead_stage_id, sequence)


class LeadStageActions:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(LEAD_STAGE_ACTIONS)
        self._configured = store.collection(PIPELINE_STAGE_ACTIONS)

    async def of_stages(self, account_id: ObjectId, stage_ids: Sequence[Any]) -> dict[str, list[Document]]:
        """{stage id as text: the actions that are configured for it and active, in their order}."""
        both = [form for id in stage_ids for form in (ObjectId(id), str(id))]
        query = {"account_id": either(account_id), "stage_id": {"$in": both}, "active": {"$ne": False}}
        by_stage: dict[str, list[Document]] = defaultdict(list)
        for action in await self._configured.find(query, sort=[("sequence_number", 1), ("_id", 1)]):
            by_stage[str(action["stage_id"])].append(action)
        return by_stage

    async def insert(self, rows: Sequence[Document]) -> None:
        """Insert the rows that are missing."""
        await self._own.insert_missing(rows)

    async def delete(self, account_id: ObjectId, lead_stages: Sequence[Any]) -> None:
        """Delete the rows of lead stages that have not begun."""
        await self._own.delete({"lead_stage_id": {"$in": list(lead_stages)}, "account_id": either(account_id)})

    async def of_many(self, account_id: ObjectId, lead_stages: Sequence[Any]) -> dict[Any, list[Document]]:
        """{lead stage: its rows in their order}."""
        query = {"lead_stage_id": {"$in": list(lead_stages)}, "account_id": either(account_id)}
        rows: dict[Any, list[Document]] = {id: [] for id in lead_stages}
        for row in await self._own.find(query, sort=[("lead_stage_id", 1), ("sequence_number", 1)]):
            rows[row["lead_stage_id"]].append(row)
        return rows

    async def change(
        self,
        account_id: ObjectId,
        lead_stages: Sequence[Any],
        sequence: int,
        values: Document,
        states: Sequence[Any] | None = None,
    ) -> None:
        """Set values on the row of this sequence number of each of the lead stages, where it is in one of `states`.

        A job that says where a run stands gives them: another may have ended the run since, and closed its rows."""
        query: Document = {"lead_stage_id": {"$in": list(lead_stages)}, "sequence_number": sequence}
        if states is not None:
            query["status"] = {"$in": list(states)}
        update = {"$set": values, "$currentDate": {"updatedAt": True}}
        await self._own.update_many({**query, "account_id": either(account_id)}, update)

    async def change_open(
        self, account_id: ObjectId, lead_stages: Sequence[Any], values: Document, before: int | None = None
    ) -> None:
        """Set values on the rows that have not ended, of all sequence numbers or of those below `before`."""
        query: Document = {"lead_stage_id": {"$in": list(lead_stages)}, "status": {"$in": list(OPEN_ROWS)}}
        if before is not None:
            query["sequence_number"] = {"$lt": before}
        update = {"$set": values, "$currentDate": {"updatedAt": True}}
        await self._own.update_many({**query, "account_id": either(account_id)}, update)

    async def replace_ahead(self, account_id: ObjectId, lead_stages: Sequence[Any], first: int, rows: Rows) -> None:
        """Replace the rows of these lead stages from the number `first` on by others.

        Rows of other numbers go last, so that a crash in between leaves each number with a row, old or new."""
        if rows:
            await self._own.bulk([_replacement(account_id, row) for row in rows])
        numbers = {"$gte": first, "$nin": sorted({row["sequence_number"] for row in rows})}
        query = {"lead_stage_id": {"$in": list(lead_stages)}, "sequence_number": numbers}
        await self._own.delete({**query, "account_id": either(account_id)})


def _replacement(account_id: ObjectId, row: Document) -> UpdateOne:
    """Makes the row what is given here, and empties what else it said."""
    own = {name: value for name, value in row.items() if name not in IDENTITY}
    update = {
        "$set": own,
        "$unset": dict.fromkeys(("perform_at", "last_error", "performed_at", "started_at"), ""),
        "$setOnInsert": {name: row[name] for name in IDENTITY if name != "_id"},
    }
    return UpdateOne({"_id": row["_id"], "account_id": either(account_id)}, update, upsert=True)
