"""Which id or key of the source becomes which id or key of the clone.

The map is complete before any page is written. It holds the same values whenever a run makes it, so a repeated run
overwrites what it made before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any
from uuid import UUID, uuid5

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.funnels.source import account_of, find_source, foreign_to
from pipeline_engine.ids import fingerprint, seconds_of
from pipeline_engine.repos.funnel_repos import FunnelRepos

Document = Mapping[str, Any]

NAMESPACE = UUID("9d0c7a52-5f6e-4b1e-8a37-0f6d2f0f6c11")
# Characters that S3 or the rules of `Storage` refuse in a key, and those that would turn a file name into folders.
UNFIT_FOR_KEY = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\]|\.(?=\.)")
MAX_NAME_BYTES = 900
"""Of a file name; S3 allows keys of 1,024 bytes."""


def clone_uuid(clone_id: ObjectId, source: str) -> str:
    """The uuid that replaces `source`, a form's secret id, in this clone.

    It begins with a digit if `source` does, else with a letter: no selector `#<id>` in CSS begins with a digit.
    """
    candidates = (_derived(clone_id, f"{source}{'+' * n}") for n in count())
    return next(one for one in candidates if one[0].isdigit() == source[:1].isdigit())


def _derived(clone_id: ObjectId, name: str) -> str:
    return str(uuid5(NAMESPACE, f"{clone_id}:{name}"))


def clone_step_id(clone_id: ObjectId, source_step: ObjectId) -> ObjectId:
    """The id of the clone's step for a step of the source. Its timestamp is the clone's."""
    return ObjectId(seconds_of(clone_id.generation_time) + fingerprint(clone_id, source_step, size=8))


def image_key(clone_id: ObjectId, source_key: str, name: object) -> str:
    """The S3 key `<uuid>/<file name>` of a copied image. Without a name, the last part of the source's key serves."""
    known = name if isinstance(name, str) and name else source_key.rsplit("/", 1)[-1]
    fit = UNFIT_FOR_KEY.sub("", known).encode()[-MAX_NAME_BYTES:].decode(errors="ignore")
    return f"{_derived(clone_id, source_key)}/{fit or 'image'}"


@dataclass(frozen=True)
class CloneMap:
    """`images` are the source's records by key. The account may not see the images whose keys are in `foreign`."""

    clone: Document
    source: Document
    account_id: ObjectId
    parent: object
    """The parent account of `account_id`."""
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

    def assigned_images(self, source_step: ObjectId) -> set[str]:
        """The images that this step copies even when no page mentions them. Each image is assigned to one step."""
        steps: list[ObjectId] = self.clone["clone"]["source_steps"]
        place = steps.index(source_step)
        return {key for key in self.images if int.from_bytes(fingerprint(key, size=4)) % len(steps) == place}


async def read_clone_map(app: App[FunnelRepos], clone: Document) -> CloneMap:
    """The map of a clone whose steps are made. Raises: CloneRefused."""
    source, account_id = await find_source(app, clone), account_of(clone)
    steps = {one["original_step_id"]: one["_id"] for one in await app.repos.funnel_steps.of_clone(clone)}
    images = await app.repos.images.of_source(source["_id"])
    foreign = frozenset(one["key"] for one in await foreign_to(app, account_id, images))
    parent = clone.get("parent_account") or (await app.shared.accounts.get(account_id)).get("parent_account")
    return CloneMap(clone, source, account_id, parent, steps, _by_key(images), foreign)


def _by_key(images: Iterable[Document]) -> dict[str, Document]:
    """The oldest record of each key."""
    by_key: dict[str, Document] = {}
    for image in images:
        by_key.setdefault(image["key"], image)
    return by_key
