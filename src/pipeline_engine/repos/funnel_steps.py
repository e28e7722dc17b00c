"""Steps of funnels (`funnel.step`): those of a source, and those that a clone makes of them.

Ours bear `clone_id`, the funnel that they are made for, and `clone_state`: open, done or failed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.adoption import adopt
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import LEASE_OWNER_INDEX, CollectionSpec, LeaseSpec, having, index
from pipeline_engine.repos.lease import FREE, released
from pipeline_engine.repos.leased import Leased

FUNNEL_STEPS = CollectionSpec(
    "funnel.step",
    indexes=(
        index("funnel_id", "original_step_id", name="clone_step", unique=True, **having("clone_id")),
        index("funnel_id"),
        index("clone_state", "clone_id", **having("clone_id")),
        LEASE_OWNER_INDEX,
    ),
    lease=LeaseSpec(flag="in_progress", legacy_flag_counts=timedelta(minutes=5)),  # the seed's
)


class FunnelSteps(Leased):
    spec = FUNNEL_STEPS
    due: ClassVar[Document] = {"clone_state": "open"}
    running: ClassVar[Document] = {"clone_state": "open"}

    def claim_changes(self) -> Document:
        """An attempt that a crash or a shutdown ended is not counted as one that failed."""
        return {"attempts": {"$add": [{"$ifNull": ["$failures", 0]}, 1]}}

    async def of_source(self, funnel_id: ObjectId) -> list[Document]:
        """The steps of any funnel, oldest first, without their pages."""
        return await self._all.find({"funnel_id": either(funnel_id)}, sort=[("_id", 1)], projection={"raw_html": 0})

    async def existing(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        return {one["_id"] for one in await self._all.find({"_id": {"$in": list(ids)}}, projection=["_id"])}

    async def adopt(self, clone: Mapping[str, Any], sources: Sequence[ObjectId]) -> None:
        """Take over what an older engine has begun for this clone: of each step the oldest, which is done anew."""
        foreign = {"funnel_id": clone["_id"], "original_step_id": {"$in": list(sources)}}
        taken = {one["original_step_id"] for one in await self.of_clone(clone)}
        # When it was last changed stays as it is: the older engine may still be at work on it.
        seen = {"flag_seen_at": {"$ifNull": ["$updatedAt", "$$NOW"]}}
        ours = {"clone_state": {"$literal": "open"}, "pending": True, **seen, **_literal(_of(clone))}
        await adopt(self._own, foreign, "original_step_id", taken, ours)

    async def add(self, steps: Sequence[Document]) -> None:
        """Insert what is not there yet."""
        await self._own.insert_missing(steps)

    async def of_clone(self, clone: Mapping[str, Any], *fields: str) -> list[Document]:
        """Its steps in no order: `_id`, `original_step_id` and the fields asked for."""
        return await self._own.find(_of(clone), projection=["original_step_id", *fields])

    async def open_ids(self, clone: Mapping[str, Any]) -> set[ObjectId]:
        found = await self._own.find({**_of(clone), "clone_state": "open"}, projection=["_id"])
        return {one["_id"] for one in found}

    async def reopen(self, clone: Mapping[str, Any]) -> None:
        """A new run: what failed in the last one has all its attempts before it."""
        fresh = {"clone_state": "open", "pending": True, "failures": 0, "crashes": 0}
        await self._own.update_many({**_of(clone), "clone_state": "failed"}, {"$set": fresh})

    async def waiting(self, clones: Sequence[ObjectId], limit: int) -> dict[ObjectId, list[ObjectId]]:
        """{clone: its open steps that no run holds}, at most `limit` steps in all, the oldest clone's first."""
        query = {"clone_state": "open", "clone_id": {"$in": list(clones)}, **self.unclaimed}
        found = await self._all.find(query, limit=limit, sort=[("clone_id", 1)], projection=["clone_id"])
        steps: dict[ObjectId, list[ObjectId]] = defaultdict(list)
        for one in found:
            steps[one["clone_id"]].append(one["_id"])
        return steps

    async def with_open_ones(self, clones: Sequence[ObjectId]) -> set[ObjectId]:
        """Those of the clones that have an open step."""
        query = {"clone_state": "open", "clone_id": {"$in": list(clones)}}
        return {one["_id"] for one in await self._all.aggregate(query, {"$group": {"_id": "$clone_id"}})}

    async def release_unchanged(self, held: Mapping[str, Any]) -> None:
        """Leave it as it was."""
        await self.write(held, released(self.lease_spec))

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Leave it open for another attempt."""
        failed = {"last_error": error, "failures": held["attempts"]}
        await self.write(held, {**failed, **released(self.lease_spec)})

    async def end(self, held: Mapping[str, Any], state: str, **changes: Any) -> bool:
        """Done or failed. False when another run has the step now."""
        over = {"clone_state": state, "pending": state != "done"}
        return await self.write(held, {**changes, **over, **released(self.lease_spec)})

    async def acquit(self, clone: Mapping[str, Any]) -> None:
        """Some process got one of them done: those that died before are counted no more."""
        suspects = {**_of(clone), "clone_state": "open", "crashes": {"$gt": 0}}
        await self._own.update_many(suspects, {"$set": {"crashes": 0}})

    async def counts(self, clone: Mapping[str, Any]) -> dict[str, int]:
        """{state: steps}."""
        found = await self._own.aggregate(_of(clone), {"$group": {"_id": "$clone_state", "steps": {"$sum": 1}}})
        return {one["_id"]: one["steps"] for one in found}

    async def failed(self, clone: Mapping[str, Any]) -> list[Document]:
        """Steps that were given up in this run, with `last_error`."""
        return await self._own.find({**_of(clone), "clone_state": "failed"}, projection=["last_error"])

    async def stop(self, clone: Mapping[str, Any]) -> int:
        """No step of it is claimed any more. Returns how many are still held."""
        await self._own.update_many({**_of(clone), **FREE}, {"$set": {"clone_state": "cancelled"}})
        return await self._own.count({**_of(clone), "clone_state": {"$ne": "cancelled"}})

    async def remove(self, clone: Mapping[str, Any]) -> None:
        """All that it has made."""
        await self._own.delete(_of(clone))


def _of(clone: Mapping[str, Any]) -> Document:
    return {"account_id": clone.get("account_id"), "funnel_id": clone["_id"], "clone_id": clone["_id"]}


def _literal(values: Document) -> Document:
    return {name: {"$literal": value} for name, value in values.items()}
