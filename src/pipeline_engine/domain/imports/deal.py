"""Makes the deals that rows become."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.imports.csv.row import Row
from pipeline_engine.ids import fingerprint


def deal_id(import_id: ObjectId, row: int, salt: int = 0) -> ObjectId:
    """Return the id of the deal of a row: always the same, so that a repeated insert finds it taken.

    `salt` 1, 2, … give other ids, for the case that a deal of another origin has the first.
    """
    return ObjectId(_id_prefix(import_id, salt) + row.to_bytes(4, "big"))


def _id_prefix(import_id: ObjectId, salt: int) -> bytes:
    """The time of the import, then 4 bytes that distinguish it from others of the same second."""
    return import_id.binary[:4] + fingerprint("deal", import_id, salt, size=4)


class DealMaker:
    """Makes the deals of one import; what they have in common is put together once."""

    def __init__(
        self,
        *,
        import_id: ObjectId,
        account_id: ObjectId,
        user_id: ObjectId,
        pipeline_id: ObjectId,
        tags: Sequence[Any],
        automations: bool,
        root: ObjectId | None = None,
    ) -> None:
        """`root`: the import by whose rows the deals are numbered, when it is another one."""
        self._id_prefix = _id_prefix(root or import_id, 0)
        self._automations = automations
        self._common: dict[str, Any] = {
            "account_id": account_id,
            "pipeline_id": pipeline_id,
            "created_by": user_id,
            "owner": user_id,
            "followers": [],
            "tags": list(tags),
            "source": "csv",
            "automation_triggered": [],
            "skip_automations": [],
            "retry_automations": [],
            "import_id": import_id,
        }

    def deals(self, rows: Sequence[Row], stages: dict[str, ObjectId], now: datetime) -> list[dict[str, Any]]:
        """Return the deals of `rows`, in their order, ready to insert. `stages` is {name: id} of every stage in them.

        Rows have the stage '' when no column is mapped to it: their deals get the stage of that key, or none.
        The deals share their lists: callers must not change them.
        """
        common = {**self._common, "createdAt": now, "updatedAt": now}
        if self._automations:
            common["automation_starts"] = now
        return [self._deal(row, stages, common) for row in rows]

    def _deal(self, row: Row, stages: dict[str, ObjectId], common: dict[str, Any]) -> dict[str, Any]:
        key = ObjectId(self._id_prefix + row.row.to_bytes(4, "big"))
        deal = {"_id": key, **row.fields, **common, "import_row": row.row}
        if row.stage or "" in stages:
            deal["stage_id"] = stages[row.stage]
        return deal
