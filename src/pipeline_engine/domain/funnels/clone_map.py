"""What becomes of what in one clone: complete before any page is written, and the same whenever it is drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.image_key import image_key
from pipeline_engine.domain.funnels.source import find_source, foreign_to, owner_of
from pipeline_engine.ids import fingerprint
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]

MOST = 16
"""Clones whose clone_map a process remembers."""


@dataclass(frozen=True)
class CloneMap:
    """`images` are the source's records by key; those in `foreign` belong to an account that may not be seen."""

    clone: Document
    source: Document
    owner: ObjectId
    parent: object
    """The parent account of the owner."""
    steps: Mapping[ObjectId, ObjectId]
    images: Mapping[str, Document]
    foreign: frozenset[str]

    @cached_property
    def ids(self) -> dict[str, str]:
        """{old: new} of the funnel and its steps."""
        steps = {str(old): str(new) for old, new in self.steps.items()}
        return {**steps, str(self.source["_id"]): str(self.clone["_id"])}

    @cached_property
    def image_keys(self) -> dict[str, str]:
        """{old: new} of every image, whether or not it can be copied."""
        return {key: image_key(self.clone["_id"], key, image.get("fileName")) for key, image in self.images.items()}

    def share(self, source_step: ObjectId) -> set[str]:
        """The images that a step sees to though no page may mention them: each is one step's, whoever asks and when."""
        steps: list[ObjectId] = self.clone["clone"]["source_steps"]
        place = steps.index(source_step)
        return {key for key in self.images if int.from_bytes(fingerprint(key, size=4)) % len(steps) == place}


async def draw(app: App[FunnelRepos], clone: Document) -> CloneMap:
    """Read what a clone_map needs. Raises: CloneRefused."""
    source, owner = await find_source(app, clone), owner_of(clone)
    steps = {one["original_step_id"]: one["_id"] for one in await app.repos.funnel_steps.of_clone(clone)}
    images = await app.repos.images.of_source(source["_id"])
    foreign = frozenset(one["key"] for one in await foreign_to(app, owner, images))
    parent = clone.get("parent_account") or (await app.shared.accounts.get(owner)).get("parent_account")
    return CloneMap(clone, source, owner, parent, steps, _by_key(images), foreign)


def _by_key(images: Iterable[Document]) -> dict[str, Document]:
    """The oldest record of each key."""
    by_key: dict[str, Document] = {}
    for image in images:
        by_key.setdefault(image["key"], image)
    return by_key


class CloneMaps:
    """Those drawn last. One that was drawn before its clone was taken up again is not used any more."""

    def __init__(self) -> None:
        self._kept: dict[tuple[ObjectId, int], CloneMap] = {}
        self._drawing = asyncio.Lock()  # the steps of a clone begin together, and one drawing serves them all

    async def of(self, app: App[FunnelRepos], clone: Document) -> CloneMap:
        """Raises: CloneRefused."""
        key = clone["_id"], clone["token"]
        async with self._drawing:
            if not (known := self._kept.get(key)):
                known = self._kept[key] = await draw(app, clone)
                while len(self._kept) > MOST:
                    del self._kept[next(iter(self._kept))]
        return known
