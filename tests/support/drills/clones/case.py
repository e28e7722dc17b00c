"""What a clone left in MongoDB and S3, and its source as it was, read by pymongo and boto3."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from bson import ObjectId

from tests.support.drills.case import Case, Document
from tests.support.drills.observer import Observer

OLD_KEY = "old key"
"""Of the chat widget in the source's pages."""
COMPLETED = "funnel_cloning_completed"


@dataclass(frozen=True)
class Source:
    """A funnel as it stood at one moment, with everything that hangs on it; `objects` are the bytes by key."""

    funnel: Document
    steps: list[Document]
    components: list[Document]
    images: list[Document]
    forms: list[Document]
    objects: dict[str, bytes]

    @property
    def id(self) -> ObjectId:
        return ObjectId(self.funnel["_id"])

    @property
    def references(self) -> list[str]:
        """What must not be found in a clone."""
        steps, images = (str(one["_id"]) for one in self.steps), (one["key"] for one in self.images)
        return [str(self.id), *steps, *images, *(one["form_secret_id"] for one in self.forms), OLD_KEY]

    def texts(self, step: ObjectId) -> tuple[str, str]:
        """HTML and components of a step."""
        html = next(one["raw_html"] for one in self.steps if one["_id"] == step)
        return html, next(one["components"] for one in self.components if one["step_id"] == step)


@dataclass(frozen=True, kw_only=True)
class CloneCase(Case):
    """Everything about one clone that the checks look at.

    `versions` are the source as it was while the clone was made: a step may be as any of them. `received` are the ids
    of the completion events that users received, None when daemons send none. `objects` are those of source and clone.
    """

    versions: Sequence[Source]
    now: Source
    funnel: Document
    steps: list[Document]
    components: list[Document]
    images: list[Document]
    forms: list[Document]
    objects: dict[str, bytes]
    token: str
    messages: list[Document]
    events: list[Document]
    received: list[str] | None
    letters: list[Document]

    @property
    def id(self) -> ObjectId:
        return ObjectId(self.funnel["_id"])

    @property
    def frozen(self) -> list[ObjectId]:
        """The steps that there must be, in their order."""
        return list(self.versions[0].funnel["steps"])

    @property
    def replacements(self) -> dict[str, str]:
        """{old: new} as the records of the clone have it."""
        steps = {str(one["original_step_id"]): str(one["_id"]) for one in self.steps}
        images = {one["source_key"]: one["key"] for one in self.images}
        forms = {one["source_form_id"]: one["form_secret_id"] for one in self.forms}
        return {**steps, **images, **forms, str(self.versions[0].id): str(self.id)}

    def texts(self, step: Document) -> tuple[Any, Any]:
        """HTML and components of a step of the clone."""
        found = [one["components"] for one in self.components if one["step_id"] == step["_id"]]
        return step["raw_html"], found[0] if found else None


def clone_source(observer: Observer, id: ObjectId, mark: str) -> Source:
    """A source as it is now; `mark` is what the names of its forms begin with."""
    find, steps = observer.find, observer.find("funnel.step", funnel_id=id)
    funnel = next(iter(find("funnels", _id=id)), {})  # a test may have deleted it
    components = find("funnel.step.components", step_id={"$in": [one["_id"] for one in steps]})
    images = find("sites_images", ref_id=id)
    forms = find("forms", form_name={"$regex": f"^{mark}"}, source_form_id=None)
    return Source(funnel, steps, components, images, forms, observer.objects(one["key"] for one in images))


def clone_case(
    observer: Observer, clone: ObjectId, versions: Sequence[Source], mark: str, max_orphaned: timedelta
) -> CloneCase:
    """`versions`: the source as it was. `mark`: what the names of the source's images and forms begin with, and no
    other's."""
    find, steps = observer.find, observer.find("funnel.step", funnel_id=clone)
    (token,) = find("support_tokens")
    concerned = {clone, *(one["_id"] for one in steps)}
    return CloneCase(
        versions=versions,
        now=clone_source(observer, versions[0].id, mark),
        funnel=observer.get("funnels", clone),
        steps=steps,
        components=find("funnel.step.components", funnel_id=clone),
        images=find("sites_images", ref_id=clone),
        forms=find("forms", funnel_id=clone),
        objects=observer.objects(key for key in observer.object_keys() if mark in key),
        token=token["token"],
        messages=find("outbox", **{"data.funnel_id": str(clone)}),
        events=find("crm_events", **{"data.funnel_id": str(clone)}),
        received=_received(observer.environment, clone),
        letters=find("dead_letters"),
        changes=[one for one in observer.changes() if one.id in concerned],
        lease=observer.lease,
        max_orphaned=max_orphaned,
    )


def _received(environment: Mapping[str, str], clone: ObjectId) -> list[str] | None:
    """The ids of the completions that the sink of socket events received; None when daemons send none."""
    if not environment.get("SOCKET_URL"):
        return None
    connection = HTTPConnection(urlsplit(environment["SOCKET_SINK_URL"]).netloc)
    connection.request("GET", "/sink/records")
    payloads = [one["payload"] for one in json.load(connection.getresponse()) if one["event"] == COMPLETED]
    connection.close()
    return [one["event_id"] for one in payloads if one["data"]["funnel_id"] == str(clone)]
