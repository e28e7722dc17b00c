"""Copies objects in S3: a few at once in this process, and each once however many steps want it."""

from __future__ import annotations

import asyncio
from typing import Any

from pipeline_engine.errors import Transient
from pipeline_engine.providers.storage import ObjectInfo, Storage

REMEMBERED = 10_000
"""Copies that were made of late (their records may not say so yet), and sources that were copied of late."""

Copy = tuple[str, int]
"""A target key, and the token of the clone's run: after a clean-up the same key is copied anew."""


class Copies:
    def __init__(self, at_once: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._made: dict[Copy, asyncio.Future[None]] = {}
        self._sources: dict[str, ObjectInfo] = {}

    async def copy(self, storage: Storage, source_key: str, target_key: str, token: int) -> None:
        """Raises: as `Storage.copy`."""
        copy = target_key, token
        if made := self._made.get(copy):
            await asyncio.shield(made)
            return
        made = self._made[copy] = asyncio.get_running_loop().create_future()
        try:
            async with self._places:
                await self._copy(storage, source_key, target_key)
        except BaseException as error:
            del self._made[copy]
            # Who is cancelled takes nobody along: the others try again.
            made.set_exception(error if isinstance(error, Exception) else Transient("the copy was broken off"))
            made.exception()  # nobody else may have waited for it
            raise
        made.set_result(None)
        _forget(self._made)

    async def _copy(self, storage: Storage, source_key: str, target_key: str) -> None:
        """A source that was copied before, as those of a template are again and again, need not be asked for first."""
        copied = await storage.copy(source_key, target_key, self._sources.get(source_key))
        self._sources[source_key] = ObjectInfo(source_key, copied.size, copied.etag)
        _forget(self._sources)


def _forget(oldest_first: dict[Any, Any]) -> None:
    while len(oldest_first) > REMEMBERED:
        oldest_first.pop(next(iter(oldest_first)))
