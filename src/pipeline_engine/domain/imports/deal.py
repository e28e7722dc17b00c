"""The deal that a row becomes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.imports.row import Row
from pipeline_engine.ids import fingerprint


def deal_id(import_id: ObjectId, row: int, salt: int = 0) -> ObjectId:
    """The same id whenever the same row is written. `salt` 1, 2, … give others, for when a stranger's deal has it."""
    return ObjectId(_beginning(import_id, salt) + row.to_bytes(4, "big"))


def _beginning(import_id: ObjectId, salt: int) -> bytes:
    """Time of the import, then 4 bytes that tell it from others of that second."""
    return import_id.binary[:4] + fingerprint("deal", import_id, salt, size=4)


class DealMaker:
    """Makes the deals of one import. What they have in common is put together once."""

    def __init__(
        self,
        *,
        import_id: ObjectId,
        account_id: ObjectId,
        user_id: ObjectId,
        pipeline_id: ObjectId,
        tags: Sequence[Any],
        automations: bool,
    ) -> None:
        self._beginning = _beginning(import_id, 0)
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
        """The deals of `rows`, in their order, ready to insert. `stages` has the id of every stage name in the rows.

        Rows name no stage when no column is mapped to it: their deals get the stage '', or none when there is no such.
        The lists in the deals are shared.
        """
        common = {**self._common, "createdAt": now, "updatedAt": now}
        if self._automations:
            common["automation_starts"] = now
        return [self._deal(row, stages, common) for row in rows]

    def _deal(self, row: Row, stages: dict[str, ObjectId], common: dict[str, Any]) -> dict[str, Any]:
        key = ObjectId(self._beginning + row.row.to_bytes(4, "big"))
        deal = {"_id": key, **row.fields, **common, "import_row": row.row}
        if row.stage or "" in stages:
            deal["stage_id"] = stages[row.stage]
        return deal
