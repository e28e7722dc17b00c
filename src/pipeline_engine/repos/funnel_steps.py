"""Steps of funnels (`funnel.step`): those of a source, and those that a clone makes of them.

Those that the engine makes have `clone_id`, the funnel that they are made for, and `clone_state`: open, done, failed or
cancelled. An older engine had no such fields and no unique keys; `adopt` takes over what it began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from bson import ObjectId

from pipeline_engine.ids import either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection import Collection
from pipeline_engine.repos.collection_spec import LEASE_OWNER_INDEX, CollectionSpec, LeaseSpec, having, index
from pipeline_engine.repos.expressions import whole
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
    lease=LeaseSpec(flag="in_progress", legacy_flag_counts=timedelta(minutes=5)),
)


class FunnelSteps(Leased):
    spec = FUNNEL_STEPS
    due: ClassVar[Document] = {"clone_state": "open"}
    running: ClassVar[Document] = {"clone_state": "open"}

    def claim_changes(self) -> Document:
        """`attempts` counts this attempt and those that failed; one that a crash or a shutdown ended did not fail."""
        return {"attempts": {"$add": [whole("$failures"), 1]}}

    async def of_source(self, funnel_id: ObjectId) -> list[Document]:
        """The steps of any account's funnel, oldest first, without their pages."""
        return await self._all.find({"funnel_id": either(funnel_id)}, sort=[("_id", 1)], projection={"raw_html": 0})

    async def existing(self, ids: Sequence[ObjectId]) -> set[ObjectId]:
        """Those of the ids under which any account has a step."""
        return {one["_id"] for one in await self._all.find({"_id": {"$in": list(ids)}}, projection=["_id"])}

    async def adopt(self, clone: Mapping[str, Any], sources: Sequence[ObjectId]) -> None:
        """Take over the steps that an older engine began for this clone: the oldest of each source step, to be done
        anew."""
        foreign = {"funnel_id": clone["_id"], "original_step_id": {"$in": list(sources)}}
        taken = {one["original_step_id"] for one in await self.of_clone(clone)}
        # `updatedAt` stays as it is: by it the engine sees whether the older engine may still be at work on the step.
        seen = {"flag_seen_at": {"$ifNull": ["$updatedAt", "$$NOW"]}}
        ours = {"clone_state": {"$literal": "open"}, "pending": True, **seen, **literal(mark_of(clone))}
        await adopt(self._own, foreign, "original_step_id", taken, ours)

    async def add(self, steps: Sequence[Document]) -> None:
        """Insert the steps that are missing."""
        await self._own.insert_missing(steps)

    async def of_clone(self, clone: Mapping[str, Any], *fields: str) -> list[Document]:
        """The clone's steps in no order: `_id`, `original_step_id` and the given fields."""
        return await self._own.find(mark_of(clone), projection=["original_step_id", *fields])

    async def open_ids(self, clone: Mapping[str, Any]) -> set[ObjectId]:
        """The ids of the clone's open steps, claimed or not."""
        found = await self._own.find({**mark_of(clone), "clone_state": "open"}, projection=["_id"])
        return {one["_id"] for one in found}

    async def reopen(self, clone: Mapping[str, Any]) -> None:
        """Open the steps that failed in the last run of the clone, with all their attempts before them."""
        fresh = {"clone_state": "open", "pending": True, "failures": 0, "crashes": 0}
        await self._own.update_many({**mark_of(clone), "clone_state": "failed"}, {"$set": fresh})

    async def find_unclaimed(self, clones: Sequence[ObjectId], limit: int) -> dict[ObjectId, list[ObjectId]]:
        """{clone: its open steps that no run holds}, at most `limit` steps in all, those of the oldest clone first."""
        open_steps = {"clone_state": "open", "clone_id": {"$in": list(clones)}}
        query = {**open_steps, "$and": [self.unclaimed, await self.available()]}
        found = await self._all.find(query, limit=limit, sort=[("clone_id", 1)], projection=["clone_id"])
        steps: dict[ObjectId, list[ObjectId]] = defaultdict(list)
        for one in found:
            if isinstance(one["clone_id"], ObjectId):  # a list that contains the id matches as well
                steps[one["clone_id"]].append(one["_id"])
        return steps

    async def clones_with_open_steps(self, clones: Sequence[ObjectId]) -> set[ObjectId]:
        """Those of the clones that have an open step, claimed or not. One that is set aside does not count."""
        query = {"clone_state": "open", "clone_id": {"$in": list(clones)}, **await self.available()}
        found = await self._all.aggregate(query, {"$group": {"_id": "$clone_id"}})
        return {one["_id"] for one in found if isinstance(one["_id"], ObjectId)}

    async def release_unchanged(self, held: Mapping[str, Any]) -> None:
        """Release the step and count no attempt: the run changed nothing."""
        await self.write(held, released(self.lease_spec))

    async def put_off(self, held: Mapping[str, Any], seconds: float, error: str) -> None:
        """Release the step, still open, and count a failed attempt."""
        failed = {"last_error": error, "failures": held["attempts"]}
        await self.write(held, {**failed, **released(self.lease_spec)})

    async def end(self, held: Mapping[str, Any], state: str, /, **changes: Any) -> bool:
        """End the step as `done` or `failed`; False when another run has claimed it."""
        over = {"clone_state": state, "pending": state != "done"}
        return await self.write(held, {**changes, **over, **released(self.lease_spec)})

    async def reset_crashes(self, clone: Mapping[str, Any]) -> None:
        """Forget the crashes of the clone's open steps.

        The caller has just seen one of them done, so none kills every process.
        """
        suspects = {**mark_of(clone), "clone_state": "open", "crashes": {"$gt": 0}}
        await self._own.update_many(suspects, {"$set": {"crashes": 0}})

    async def counts(self, clone: Mapping[str, Any], where: Document | None = None) -> dict[str, int]:
        """{state: number of the clone's steps} of those steps that match `where`."""
        group = {"_id": "$clone_state", "steps": {"$sum": 1}}
        found = await self._own.aggregate({**(where or {}), **mark_of(clone)}, {"$group": group})
        return {one["_id"]: one["steps"] for one in found}

    async def failed(self, clone: Mapping[str, Any]) -> list[Document]:
        """The steps that failed in the present run of the clone, with `last_error`."""
        return await self._own.find({**mark_of(clone), "clone_state": "failed"}, projection=["last_error"])

    async def cancel_unclaimed(self, clone: Mapping[str, Any]) -> int:
        """Cancel the clone's unclaimed steps, so that no run claims them.

        Returns how many steps runs still hold; those are not cancelled.
        """
        await self._own.update_many({**mark_of(clone), **FREE}, {"$set": {"clone_state": "cancelled"}})
        return await self._own.count({**mark_of(clone), "clone_state": {"$ne": "cancelled"}})

    async def remove(self, clone: Mapping[str, Any]) -> None:
        """Remove every step that was made for the clone."""
        await self._own.delete(mark_of(clone))


def mark_of(clone: Mapping[str, Any]) -> Document:
    """The fields of a document that was made for this clone, which also are the filter for all of them."""
    return {"account_id": clone.get("account_id"), "funnel_id": clone["_id"], "clone_id": clone["_id"]}


def literal(values: Document) -> Document:
    """The values as expressions, so that none of them is read as a field path."""
    return {name: {"$literal": value} for name, value in values.items()}


async def adopt(collection: Collection, foreign: Document, field: str, taken: set[ObjectId], ours: Document) -> None:
    """Of the documents `foreign` that lack `clone_id`, give the oldest of each value of `field` the fields `ours`,
    which are expressions; delete the others, and those whose value is in `taken`. Adds the adopted values to
    `taken`."""
    everywhere = collection.everywhere
    for one in await everywhere.find({**foreign, "clone_id": None}, sort=[("_id", 1)], projection=[field]):
        unmarked = {"_id": one["_id"], "clone_id": None}
        if one[field] in taken:
            await everywhere.delete(unmarked)
        else:
            taken.add(one[field])
            await everywhere.update_one(unmarked, [{"$set": ours}])
