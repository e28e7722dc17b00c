"""Copies the images of a step: record first, then the object, then a mark on the record that it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.clone_cache import CloneCache
from pipeline_engine.domain.funnels.clone_map import CloneMap
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.ids import derived_id
from pipeline_engine.providers.storage_errors import ObjectMissing
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]


async def copy_images(app: App[FunnelRepos], cache: CloneCache, clone_map: CloneMap, wanted: Collection[str]) -> dict[str, str]:
    """See to it that these images are there for the clone. Returns {source key: why} of those that cannot be.

    Raises: what the storage raises, when all that could be copied is; LeaseLost when the lease may have run out.
    """
    refused = {key: f"image {key}: it belongs to another account" for key in wanted if key in clone_map.foreign}
    there = {one["source_key"]: one["uploaded"] for one in await app.repos.images.of_clone(clone_map.clone)}
    wanted = [key for key in wanted if key not in refused and not there.get(key)]
    if not wanted:
        return refused
    now = app.clock.now()
    await app.repos.images.add([_record(app, clone_map, key, now) for key in wanted if key not in there])
    if not app.heartbeat.trusted:
        raise LeaseLost("the lease may have run out")
    return {**refused, **await _copy(app, cache, clone_map, wanted)}


async def _copy(app: App[FunnelRepos], cache: CloneCache, clone_map: CloneMap, wanted: Collection[str]) -> dict[str, str]:
    new, token = clone_map.image_keys, clone_map.clone["token"]
    results = await asyncio.gather(
        *(cache.copies.copy(app.storage, key, new[key], token) for key in wanted), return_exceptions=True
    )
    ends = dict(zip(wanted, results, strict=True))
    if copied := [key for key, error in ends.items() if error is None]:
        await app.repos.images.uploaded(clone_map.clone, copied)
    if gone := [key for key, error in ends.items() if _is_gone(error)]:
        await app.repos.images.drop(clone_map.clone, gone)
    for error in results:
        if error is not None and not _is_gone(error):
            raise error
    return {key: f"image {key}: {ends[key]}" for key in gone}


def _is_gone(error: object) -> bool:
    """Nobody will ever find an object there."""
    return isinstance(error, ObjectMissing) or (isinstance(error, Permanent) and error.code == "bad_key")


def _record(app: App[FunnelRepos], clone_map: CloneMap, source_key: str, now: object) -> dict[str, Any]:
    image, key, clone = clone_map.images[source_key], clone_map.image_keys[source_key], clone_map.clone
    about = {"bucket": app.storage.bucket, **_moved(image.get("additionalInfo"), source_key, key)}
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
        "additionalInfo": about,
        "createdAt": now,
        "updatedAt": now,
    }


def _moved(about: object, old: str, new: str) -> dict[str, Any]:
    """What is known of the object (bucket, ContentType, url), with the new key wherever the old one stands."""
    known = about if isinstance(about, Mapping) else {}
    moved = {name: value.replace(old, new) for name, value in known.items() if isinstance(value, str)}
    return {**known, **{name: value.replace(quote(old), quote(new)) for name, value in moved.items()}}
