"""The components of funnel steps (`funnel.step.components`): one document per step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from pipeline_engine.ids import derived_id, either
from pipeline_engine.repos.adoption import adopt
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec, having, index
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
        """Of any step; the oldest where there are several."""
        found = await self._all.find({"step_id": either(step_id)}, sort=[("_id", 1)], limit=1)
        return found[0] if found else None

    async def prepare(self, clone: Mapping[str, Any], steps: Sequence[ObjectId], now: object) -> None:
        """See to it that each step of the clone has exactly one document; the oldest of an older engine's is kept."""
        taken = {one["step_id"] for one in await self._own.find(_of(clone), projection=["step_id"])}
        ours = {name: {"$literal": value} for name, value in _of(clone).items()}
        await adopt(self._own, {"step_id": {"$in": list(steps)}}, "step_id", taken, ours)
        empty = {**_of(clone), "components": "{}", "errors": [], "createdAt": now, "updatedAt": now}
        missing = [step for step in steps if step not in taken]
        await self._own.insert_missing(
            [{"_id": derived_id("components", step), "step_id": step, **empty} for step in missing]
        )

    async def strays(self, clone: Mapping[str, Any]) -> list[ObjectId]:
        """Steps of this funnel that have components which are not ours."""
        query = {"account_id": clone.get("account_id"), "funnel_id": clone["_id"], "clone_id": None}
        return [one["step_id"] for one in await self._own.find(query, projection=["step_id"])]

    async def remove_strays(self, clone: Mapping[str, Any], steps: Sequence[ObjectId]) -> None:
        query = {"account_id": clone.get("account_id"), "funnel_id": clone["_id"], "clone_id": None}
        await self._own.delete({**query, "step_id": {"$in": list(steps)}})

    async def write(
        self, clone: Mapping[str, Any], step: Mapping[str, Any], components: Any, errors: Sequence[str]
    ) -> bool:
        """Write the components of a step that this run holds; False when a later holder has, or they are gone."""
        not_later = {"$or": [{"token": None}, {"token": {"$lte": step["token"]}}]}
        values = {"components": components, "errors": list(errors), "token": step["token"]}
        changes = {"$set": values, "$currentDate": {"updatedAt": True}}
        return await self._own.update_one({**_of(clone), "step_id": step["_id"], **not_later}, changes) == 1

    async def errors(self, clone: Mapping[str, Any]) -> list[str]:
        """What could not be copied, over all steps, each once."""
        query = {**_of(clone), "errors.0": {"$exists": True}}
        found = await self._own.find(query, sort=[("_id", 1)], projection=["errors"])
        return list(dict.fromkeys(error for one in found for error in one["errors"]))

    async def remove(self, clone: Mapping[str, Any]) -> None:
        await self._own.delete(_of(clone))


def _of(clone: Mapping[str, Any]) -> Document:
    return {"account_id": clone.get("account_id"), "funnel_id": clone["_id"], "clone_id": clone["_id"]}
