"""Copies the images of a step: it writes each record, then copies the object, then marks the record as uploaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_map import CloneMap
from pipeline_engine.domain.funnels.relink import relink
from pipeline_engine.errors import LeaseLost, Permanent, Transient
from pipeline_engine.ids import derived_id
from pipeline_engine.providers.storage import Storage
from pipeline_engine.providers.storage_errors import ObjectMissing
from pipeline_engine.providers.storage_object import ObjectInfo
from pipeline_engine.repos.funnel_repos import FunnelRepos

MAX_REMEMBERED = 10_000
"""Of the latest copies, whose records may not say so yet, and of the latest sources."""

Copy = tuple[str, int]
"""A target key and the token of the clone's run: after a clean-up, a new run copies the same key again."""


async def copy_images(
    app: App[FunnelRepos], copier: ObjectCopier, clone_map: CloneMap, wanted: Collection[str]
) -> dict[str, str]:
    """Copy those of the images that the clone does not have yet. Returns {source key: why it cannot be copied}.

    Raises: what the storage raises, after it has copied the other images; LeaseLost when the lease may have run out.
    """
    refused = {key: f"image {key}: it belongs to another account" for key in wanted if key in clone_map.foreign}
    there = {one["source_key"]: one["uploaded"] for one in await app.repos.images.of_clone(clone_map.clone)}
    wanted = [key for key in wanted if key not in refused and not there.get(key)]
    if not wanted:
        return refused
    await app.repos.images.add(await _records(app, clone_map, [key for key in wanted if key not in there]))
    if not app.heartbeat.trusted:
        raise LeaseLost("the lease may have run out")
    return {**refused, **await _copy(app, copier, clone_map, wanted)}


async def _copy(
    app: App[FunnelRepos], copier: ObjectCopier, clone_map: CloneMap, wanted: Collection[str]
) -> dict[str, str]:
    new, token = clone_map.image_keys, clone_map.clone["token"]
    results = await asyncio.gather(
        *(copier.copy(app.storage, key, new[key], token) for key in wanted), return_exceptions=True
    )
    errors = dict(zip(wanted, results, strict=True))
    if copied := [key for key, error in errors.items() if error is None]:
        await app.repos.images.mark_uploaded(clone_map.clone, copied)
    gone = [key for key, error in errors.items() if await _concerns_it_alone(app.storage, new[key], error)]
    if gone:
        await app.repos.images.remove_keys(clone_map.clone, gone)
    for key, error in errors.items():
        if error is not None and key not in gone:
            raise error
    return {key: f"image {key}: {errors[key]}" for key in gone}


async def _concerns_it_alone(storage: Storage, target_key: str, error: object) -> bool:
    """Whether no later attempt can copy this object, while S3 serves others: it is missing, archived, its key is
    disabled, or access to it is denied.

    Only a write shows that a refusal does not concern the bucket or the credentials; it goes to the copy's own key.
    """
    if isinstance(error, ObjectMissing) or (isinstance(error, Permanent) and error.code == "bad_key"):
        return True
    if not isinstance(error, Permanent) or error.code not in ("storage_denied", "storage_refused"):
        return False
    try:
        await storage.put_stream(target_key, _nothing())
        await storage.delete(target_key)
    except Permanent:
        return False
    return True


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


async def _records(app: App[FunnelRepos], clone_map: CloneMap, source_keys: Sequence[str]) -> list[dict[str, Any]]:
    """The records of these copies. What a source's record says of its image (ContentType, url) leads to the copy."""
    if not source_keys:
        return []
    abouts = [clone_map.images[key].get("additionalInfo") for key in source_keys]
    abouts, _ = await relink(app, abouts, {**clone_map.ids, **clone_map.image_keys})
    now = app.clock.now()
    return [_record(app, clone_map, key, about, now) for key, about in zip(source_keys, abouts, strict=True)]


def _record(app: App[FunnelRepos], clone_map: CloneMap, source_key: str, about: Any, now: object) -> dict[str, Any]:
    image, key, clone = clone_map.images[source_key], clone_map.image_keys[source_key], clone_map.clone
    return {
        "_id": derived_id("image", clone["_id"], source_key),
        "clone_id": clone["_id"],
        "ref_id": clone["_id"],
        "account_id": clone["account_id"],
        "parent_account": clone_map.parent,
        "source_key": source_key,
        "key": key,
        "fileName": image.get("fileName") or key.partition("/")[2],
        "fileSize": image.get("fileSize"),
        "origin": "funnels",
        "uploaded": False,
        "additionalInfo": {"bucket": app.storage.bucket, **(about if isinstance(about, dict) else {})},
        "createdAt": now,
        "updatedAt": now,
    }


class ObjectCopier:
    """Copies S3 objects: at most `max_concurrent` at a time in this process, each once for all steps that use it."""

    def __init__(self, max_concurrent: int) -> None:
        self._places = asyncio.Semaphore(max_concurrent)
        self._made: dict[Copy, asyncio.Future[None]] = {}
        self._sources: dict[str, ObjectInfo] = {}

    async def copy(self, storage: Storage, source_key: str, target_key: str, token: int) -> None:
        """Returns when the copy is there, whichever step made it. Raises: as `Storage.copy`."""
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
            # A cancelled step does not cancel the others that wait: they get a Transient and try again.
            made.set_exception(error if isinstance(error, Exception) else Transient("the copy was broken off"))
            made.exception()  # marks it as retrieved: perhaps no other step waits for it
            raise
        made.set_result(None)
        _drop_oldest(self._made)

    async def _copy(self, storage: Storage, source_key: str, target_key: str) -> None:
        """Steps of a template copy the same sources again and again: a source seen before needs no HEAD request."""
        copied = await storage.copy(source_key, target_key, self._sources.get(source_key))
        self._sources[source_key] = replace(copied, key=source_key)
        _drop_oldest(self._sources)


def _drop_oldest(remembered: dict[Any, Any]) -> None:
    while len(remembered) > MAX_REMEMBERED:
        remembered.pop(next(iter(remembered)))
