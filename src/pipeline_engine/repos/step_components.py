"""The components of funnel steps (`funnel.step.components`): one document per step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import derived_id, either
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
from pipeline_engine.repos.funnel_steps import adopt, literal, mark_of
from pipeline_engine.repos.store import Store

STEP_COMPONENTS = CollectionSpec(
    "funnel.step.components",
    indexes=(index("step_id", name="clone_components", unique=True, **having("clone_id")), index("step_id")),
)


class StepComponents:
    def __init__(self, store: Store) -> None:
        self._all = store.collection(STEP_COMPONENTS).everywhere
        self._own = store.collection(STEP_COMPONENTS)

    async def of_source(self, step_id: ObjectId) -> Document | None:
        """The components of any account's step; the oldest document where there are several."""
        found = await self._all.find({"step_id": either(step_id)}, sort=[("_id", 1)], limit=1)
        return found[0] if found else None

    async def prepare(self, clone: Mapping[str, Any], steps: Sequence[ObjectId], now: object) -> None:
        """Make sure that each step of the clone has exactly one document.

        A document that an older engine made is taken over; where there are several, the oldest."""
        taken = {one["step_id"] for one in await self._own.find(mark_of(clone), projection=["step_id"])}
        await adopt(self._own, {"step_id": {"$in": list(steps)}}, "step_id", taken, literal(mark_of(clone)))
        empty = {**mark_of(clone), "components": "{}", "errors": [], "createdAt": now, "updatedAt": now}
        missing = [step for step in steps if step not in taken]
        await self._own.insert_missing(
            [{"_id": derived_id("components", step), "step_id": step, **empty} for step in missing]
        )

    async def find_strays(self, clone: Mapping[str, Any]) -> list[ObjectId]:
        """The steps of this funnel that have components which an older engine made and this engine did not take
        over."""
        query = {"account_id": clone.get("account_id"), "funnel_id": clone["_id"], "clone_id": None}
        return [one["step_id"] for one in await self._own.find(query, projection=["step_id"])]

    async def remove_strays(self, clone: Mapping[str, Any], steps: Sequence[ObjectId]) -> None:
        """Remove the components that `find_strays` finds, of these steps only."""
        query = {"account_id": clone.get("account_id"), "funnel_id": clone["_id"], "clone_id": None}
        await self._own.delete({**query, "step_id": {"$in": list(steps)}})

    async def write(
        self, clone: Mapping[str, Any], step: Mapping[str, Any], components: Any, errors: Sequence[str]
    ) -> bool:
        """Write the components of a step that this run holds.

        False when a later run has written them, or they are gone.
        """
        not_later = {"$or": [{"token": None}, {"token": {"$lte": step["token"]}}]}
        values = {"components": components, "errors": list(errors), "token": step["token"]}
        changes = {"$set": values, "$currentDate": {"updatedAt": True}}
        return await self._own.update_one({**mark_of(clone), "step_id": step["_id"], **not_later}, changes) == 1

    async def errors(self, clone: Mapping[str, Any]) -> list[str]:
        """What could not be copied in any step of the clone, each text once."""
        query = {**mark_of(clone), "errors.0": {"$exists": True}}
        found = await self._own.find(query, sort=[("_id", 1)], projection=["errors"])
        return list(dict.fromkeys(error for one in found for error in one["errors"]))

    async def remove(self, clone: Mapping[str, Any]) -> None:
        """Remove every document that was made for the clone."""
        await self._own.delete(mark_of(clone))
