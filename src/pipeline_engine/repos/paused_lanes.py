"""Which lanes an operator has paused: `lanes` in one document of `engine_keys`, because Redis forgets its own marks."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline_engine.repos.client import Document
from pipeline_engine.repos.collection_spec import CollectionSpec
from pipeline_engine.repos.own_fields import listing
from pipeline_engine.repos.store import Store

ENGINE_KEYS = CollectionSpec("engine_keys", own={"lanes": listing})
PAUSED_LANES: Document = {"_id": "paused_lanes"}


class PausedLanes:
    """Every method raises PyMongoError when MongoDB is away."""

    def __init__(self, store: Store) -> None:
        self._keys = store.collection(ENGINE_KEYS).everywhere
        self._clock = store.clock

    async def names(self) -> list[str] | None:
        """The paused lanes; None when no engine has recorded any yet, not even that there is none."""
        found = await self._keys.find_one(PAUSED_LANES)
        return None if found is None else [name for name in found.get("lanes") or () if isinstance(name, str)]

    async def begin(self, lanes: Iterable[str]) -> None:
        """Record these as the paused lanes, unless an engine has recorded some already."""
        now = self._clock.now()
        await self._keys.insert_missing([{**PAUSED_LANES, "lanes": list(lanes), "createdAt": now, "updatedAt": now}])

    async def add(self, lane: str) -> None:
        """Record that the lane is paused."""
        await self._change({"$addToSet": {"lanes": lane}})

    async def remove(self, lane: str) -> None:
        """Record that the lane is not paused."""
        await self._change({"$pull": {"lanes": lane}})

    async def _change(self, operator: Document) -> None:
        dates = {"$setOnInsert": {"createdAt": self._clock.now()}, "$currentDate": {"updatedAt": True}}
        await self._keys.update_one(PAUSED_LANES, {**operator, **dates}, upsert=True)
