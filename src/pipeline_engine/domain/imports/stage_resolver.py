"""Resolves the stage names of a file to stages of the import's pipeline."""

from __future__ import annotations

from collections.abc import Iterable

from bson import ObjectId

from pipeline_engine.domain.imports.csv.values import name_key
from pipeline_engine.domain.imports.request import ImportRequest
from pipeline_engine.repos.stages import Stages


class StageResolver:
    """Finds stages by name and creates missing ones. Asks MongoDB once per name and process."""

    def __init__(self, stages: Stages, request: ImportRequest, *, first: bool) -> None:
        """`first`: the file names no stages, so its deals go into the first stage of the pipeline."""
        self._stages = stages
        self._request = request
        self._first = first
        self._by_name: dict[str, ObjectId] = {}
        self._by_key: dict[str, ObjectId] | None = None

    async def ids(self, names: Iterable[str]) -> dict[str, ObjectId]:
        """Return {name: id} with every name, creating stages that do not exist. With `first`, '' is the first stage
        of the pipeline, if it has one."""
        if self._by_key is None:
            self._by_key = await self._read()
        for name in dict.fromkeys(names):  # in the order of the file: the first spelling names a new stage
            if name and name not in self._by_name:
                self._by_name[name] = await self._find_or_create(name, self._by_key)
        return self._by_name

    async def _read(self) -> dict[str, ObjectId]:
        stages = await self._stages.of_pipeline(self._request.account_id, self._request.pipeline_id)
        if self._first and stages:
            self._by_name[""] = ObjectId(stages[0]["_id"])
        # Of stages that share a key, which only a missing index allows, every process takes the first.
        return {stage["name_key"]: ObjectId(stage["_id"]) for stage in reversed(stages) if "name_key" in stage}

    async def _find_or_create(self, name: str, by_key: dict[str, ObjectId]) -> ObjectId:
        key = name_key(name)
        if key not in by_key:
            account_id, pipeline_id = self._request.account_id, self._request.pipeline_id
            by_key[key] = await self._stages.find_or_create(account_id, pipeline_id, key, name, self._request.user_id)
        return by_key[key]
