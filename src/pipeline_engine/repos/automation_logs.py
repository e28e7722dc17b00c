"""What automations did: one document per batch of deals, opened before the effect and closed after it.

A log that is still open was left by a crash; the next run of its automation closes it first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.store import Store

ONLY_WHILE_OPEN = ("units", "entries")
"""Fields that only a run needs which finds the log open; closing removes them."""

AUTOMATION_LOGS = CollectionSpec(
    "automation_logs",
    indexes=(
        index("account_id", "automation", "run_id"),
        index("account_id", "automation", "state"),
        index("expires_at", expireAfterSeconds=0, **having("expires_at")),
    ),
)


class AutomationLogs:
    def __init__(self, store: Store) -> None:
        self._own = store.collection(AUTOMATION_LOGS)
        self._clock = store.clock
        self._retention = timedelta(days=store.settings.automation_log_days)

    async def open_log(self, account_id: ObjectId, deals: Sequence[ObjectId], **fields: Any) -> Document:
        """Insert and return a log of what is about to be tried. `fields` are stored as they are."""
        now = self._clock.now()
        times = {"createdAt": now, "updatedAt": now, "expires_at": now + self._retention}
        lists: Document = {"deals": list(deals), "success": [], "failed": []}
        account = {"account": account_id, "account_id": account_id}
        log = {"_id": ObjectId(), **account, **lists, **fields, **times, "state": "open"}
        await self._own.insert_one(log)
        return log

    async def close_log(
        self, log: Document, success: Sequence[Document], failed: Sequence[Document], unreachable: int
    ) -> None:
        """Store the entries of deals that succeeded and failed, and how many failed because of their recipient.

        Without any, remove the log: no deal matched any more.
        """
        query = {"_id": log["_id"], "account_id": log["account_id"]}
        done = {"deals": [one["deal"] for one in (*success, *failed)], "success": list(success), "failed": list(failed)}
        if not success and not failed:
            await self._own.delete(query)
            return
        closed = {**done, "unreachable": unreachable, "state": "closed", "updatedAt": self._clock.now()}
        await self._own.update_one(query, {"$set": closed, "$unset": dict.fromkeys(ONLY_WHILE_OPEN, "")})

    async def find_open(self, account_id: ObjectId, automation_id: ObjectId) -> list[Document]:
        """Logs that a crash left open."""
        return await self._own.find({"account_id": account_id, "automation": automation_id, "state": "open"})

    async def totals(self, account_id: ObjectId, automation_id: ObjectId, run_id: str) -> dict[str, int]:
        """{succeeded, failed} of a run, summed from its logs."""
        sums = {"succeeded": {"$sum": {"$size": "$success"}}, "failed": {"$sum": {"$size": "$failed"}}}
        return await self._sums(account_id, automation_id, run_id, sums)

    async def unreachable(self, account_id: ObjectId, automation_id: ObjectId, run_id: str) -> int:
        """How many of those that failed in a run did so because of their recipient."""
        sums = {"unreachable": {"$sum": "$unreachable"}}
        return (await self._sums(account_id, automation_id, run_id, sums))["unreachable"]

    async def _sums(
        self, account_id: ObjectId, automation_id: ObjectId, run_id: str, sums: Mapping[str, Document]
    ) -> dict[str, int]:
        query = {"account_id": account_id, "automation": automation_id, "run_id": run_id}
        found = await self._own.aggregate(query, {"$group": {"_id": None, **sums}})
        return {name: found[0][name] if found else 0 for name in sums}
