"""Compares what a clone left in MongoDB and S3 with what reliability.md promises (I1-I3, I9, I12-I14, I17).

It shares no code with the engine: the servers are read by pymongo and boto3, and the pages that a clone should have are
the source's with one text replaced by another.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import boto3
from bson import ObjectId
from pymongo import MongoClient

from tests.support.history import LONGEST_ORPHAN, Change, History, changes

Document = dict[str, Any]
OLD_KEY = 'api-key="old key"'
"""As the source's pages have the key of their chat widget."""
OWN = ("_id", "account_id", "funnel_id", "form_secret_id", "source_form_id", "createdAt", "updatedAt")
"""What a copied form does not share with its source."""
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


@dataclass(frozen=True)
class Case:
    """Everything about one clone that the checks look at.

    `versions` are the source as it was while the clone was made: a step may be as any of them. `heard` are the ids of
    the completion events that users received, None when nobody listens. `objects` are those of source and clone.
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
    heard: list[str] | None
    letters: list[Document]
    changes: list[Change]
    lease: float
    patience: timedelta

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


class Checker:
    """Sees every change from its creation on: `Checker(environment)` before the daemons start."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._mongo: MongoClient[Document] = MongoClient(environment["MONGO_URL"], tz_aware=True)
        self._db = self._mongo.get_default_database()
        self._lease = float(environment["LEASE_SECONDS"])
        self._bucket = environment["S3_BUCKET"]
        self._s3 = boto3.client(
            "s3",
            endpoint_url=environment["S3_ENDPOINT_URL"],
            region_name=environment["S3_REGION"],
            aws_access_key_id=environment["S3_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["S3_SECRET_ACCESS_KEY"],
        )
        self._sink = environment["SOCKET_SINK_URL"] if environment.get("SOCKET_URL") else None
        self._since = self._db.command("ping")["operationTime"]

    def close(self) -> None:
        self._mongo.close()
        self._s3.close()

    def source(self, id: ObjectId, mark: str) -> Source:
        """A source as it is now; `mark` is what the names of its forms begin with."""
        find, steps = self._find, self._find("funnel.step", funnel_id=id)
        funnel = next(iter(find("funnels", _id=id)), {})  # somebody may have deleted it
        components = find("funnel.step.components", step_id={"$in": [one["_id"] for one in steps]})
        images = find("sites_images", ref_id=id)
        forms = find("forms", form_name={"$regex": f"^{mark}"}, source_form_id=None)
        objects = self._objects(one["key"] for one in images)
        return Source(funnel, steps, components, images, forms, objects)

    def violations(
        self, clone: ObjectId, versions: Sequence[Source], mark: str, patience: timedelta = LONGEST_ORPHAN
    ) -> list[str]:
        """What is wrong with a clone that should have completed, as `I12: ...`; empty when all is well.

        `versions`: the source as it was. `mark`: what the names of the source's images and forms begin with, and no
        other's. `patience`: how long a lease may have been nobody's.
        """
        return judge(self.case(clone, versions, mark, patience))

    def longest_orphan(self) -> timedelta:
        """How long at most a lease had run out before somebody took over."""
        return History(changes(self._db, self._since), self._lease).longest_orphan

    def case(
        self, clone: ObjectId, versions: Sequence[Source], mark: str, patience: timedelta = LONGEST_ORPHAN
    ) -> Case:
        """What there is to judge."""
        find, steps = self._find, self._find("funnel.step", funnel_id=clone)
        (funnel,) = find("funnels", _id=clone)
        (token,) = find("support_tokens")
        concerned = {clone, *(one["_id"] for one in steps)}
        return Case(
            versions=versions,
            now=self.source(versions[0].id, mark),
            funnel=funnel,
            steps=steps,
            components=find("funnel.step.components", funnel_id=clone),
            images=find("sites_images", ref_id=clone),
            forms=find("forms", funnel_id=clone),
            objects=self._objects(key for key in self._keys() if mark in key),
            token=token["token"],
            messages=find("outbox", **{"data.funnel_id": str(clone)}),
            events=find("crm_events", **{"data.funnel_id": str(clone)}),
            heard=self._heard(clone),
            letters=find("dead_letters"),
            changes=[one for one in changes(self._db, self._since) if one.id in concerned],
            lease=self._lease,
            patience=patience,
        )

    def _find(self, collection: str, **query: Any) -> list[Document]:
        return list(self._db[collection].find(query).sort("_id"))

    def _keys(self) -> Iterator[str]:
        """Of the whole bucket, which others use as well."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket):
            yield from (one["Key"] for one in page.get("Contents", []))

    def _objects(self, keys: Iterable[str]) -> dict[str, bytes]:
        return {key: self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read() for key in keys}

    def _heard(self, clone: ObjectId) -> list[str] | None:
        if self._sink is None:
            return None
        connection = HTTPConnection(urlsplit(self._sink).netloc)
        connection.request("GET", "/sink/records")
        payloads = [one["payload"] for one in json.load(connection.getresponse()) if one["event"] == COMPLETED]
        connection.close()
        return [one["event_id"] for one in payloads if one["data"]["funnel_id"] == str(clone)]


def judge(case: Case) -> list[str]:
    """All violations."""
    return [violation for check in CHECKS for violation in check(case)]


def ended(case: Case) -> Iterator[str]:
    """I1 and I9: it has come to its end, and no flag says otherwise."""
    if error := case.funnel["clone"].get("error"):
        yield f"I1: the clone ended with {error!r}"
    if case.funnel.get("clone_failed") or not case.funnel["clone"].get("finished_at"):
        yield "I1: the clone is not completed"
    if warnings := case.funnel["clone"].get("warnings"):
        yield f"I12: warnings {warnings}"
    for name, one in (("funnel", case.funnel), *((f"step {one['_id']}", one) for one in case.steps)):
        if flags := [flag for flag in ("pending", "in_progress") if one.get(flag) is not False]:
            yield f"I9: {name}: {' and '.join(flags)} still set"
    if case.letters:
        yield f"I1: dead letters {case.letters}"


def nothing_held(case: Case) -> Iterator[str]:
    """I2 and I14: no lease is left."""
    for one in (case.funnel, *case.steps):
        if one.get("lease_owner") is not None or one.get("lease_until") is not None:
            yield f"I2: {one['_id']} still held by {one.get('lease_owner')}"


def one_writer(case: Case) -> Iterator[str]:
    """I2 and I3: on the way, too, everything was in order."""
    yield from History(case.changes, case.lease, case.patience).violations


def bijection(case: Case) -> Iterator[str]:
    """I12: one step for each of the source's, in its order, and one document of components for each."""
    by_id = {one["_id"]: one for one in case.steps}
    listed = case.funnel["steps"]
    order = [by_id[id]["original_step_id"] if id in by_id else id for id in listed]
    if order != case.frozen:
        yield f"I12: the steps are copies of {_some(order)}, not of {_some(case.frozen)} in this order"
    if extra := by_id.keys() - set(listed):
        yield f"I12: steps {_some(extra)} are not in the funnel"
    owned = Counter(one["step_id"] for one in case.components)
    for step in owned.keys() | by_id.keys():
        if (owned[step], step in by_id) != (1, True):
            yield f"I12: step {step} has {owned[step]} documents of components"


def pages_are_copies(case: Case) -> Iterator[str]:
    """I12: both texts of a step are one version's of its source, with every reference replaced and nothing else."""
    for step in case.steps:
        wanted = [_expected(case, one, step["original_step_id"]) for one in case.versions]
        texts = case.texts(step)
        if texts not in wanted:
            wrong = [name for n, name in enumerate(TEXTS) if texts[n] not in {one[n] for one in wanted}]
            yield f"I12: step {step['_id']}: {' and '.join(wrong) or 'the mix of two versions'} of no version"
        if step.get("processed") != dict.fromkeys(PARTS, True):
            yield f"I12: step {step['_id']}: processed is {step.get('processed')}"


def _expected(case: Case, source: Source, step: ObjectId) -> tuple[str, str]:
    html, components = source.texts(step)
    for old, new in case.replacements.items():
        html, components = html.replace(old, new), components.replace(old, new)
    return html.replace(OLD_KEY, f'api-key="{escape(case.token)}"'), components


def no_source_reference(case: Case) -> Iterator[str]:
    """I12: nothing leads to the source."""
    known = sorted({one for version in case.versions for one in version.references})
    for step in case.steps:
        for name, text in zip(TEXTS, case.texts(step), strict=True):
            # The components keep the key: the seed sets it in the page only.
            left = [one for one in known if one in str(text) and (one != OLD_KEY or name == "HTML")]
            if left:
                yield f"I12: {name} of step {step['_id']} lead to {_some(left)}"


def images_open(case: Case) -> Iterator[str]:
    """I12: an image for each of the source's, with its bytes, and none in a page that is not the clone's own."""
    sources = {one["key"] for one in case.versions[0].images}
    copied = Counter(one["source_key"] for one in case.images)
    if wrong := [key for key in copied.keys() | sources if (copied[key], key in sources) != (1, True)]:
        yield f"I12: images {_some(wrong)} are not copied once"
    for image in case.images:
        bytes_there = case.objects.get(image["key"])
        if bytes_there is None or bytes_there != case.versions[0].objects.get(image["source_key"]):
            yield f"I12: image {image['key']} {'has other bytes' if bytes_there is not None else 'does not open'}"
        if image["uploaded"] is not True:
            yield f"I12: image {image['key']} is not marked as there"
    own = {one["key"] for one in case.images}
    shown = {key for step in case.steps for text in case.texts(step) for key in IMAGE.findall(str(text))}
    if strange := shown - own:
        yield f"I12: pages show {_some(strange)}, which is no image of the clone"


def no_litter(case: Case) -> Iterator[str]:
    """I14: no object without a record."""
    recorded = {one["key"] for one in (*case.images, *case.versions[0].images)}
    if orphans := case.objects.keys() - recorded:
        yield f"I14: objects {_some(orphans)} without a record"


def forms_are_own(case: Case) -> Iterator[str]:
    """I12: one copy of each form, of the new account, and otherwise as it was."""
    sources = {one["form_secret_id"]: one for one in case.versions[0].forms}
    copies = Counter(one["source_form_id"] for one in case.forms)
    if wrong := [id for id in copies.keys() | sources if (copies[id], id in sources) != (1, True)]:
        yield f"I12: forms {_some(wrong)} are not copied once"
    for form in case.forms:
        source = sources.get(form["source_form_id"], {})
        if form["form_secret_id"] in sources:
            yield f"I12: form {form['_id']} has the secret of a source"
        if {**source, **dict.fromkeys(OWN)} != {**form, **dict.fromkeys(OWN)}:
            yield f"I12: form {form['_id']} is not as its source"


def source_is_untouched(case: Case) -> Iterator[str]:
    """I12: byte for byte as it was."""
    last = case.versions[-1]
    for name in ("funnel", "steps", "components", "images", "forms", "objects"):
        if getattr(last, name) != getattr(case.now, name):
            yield f"I12: the source's {name} changed"


def one_completion(case: Case) -> Iterator[str]:
    """I13: told once, under one id, to those whom it concerns."""
    told = [one for one in case.messages if one["event"] != "funnel_cloning_progress"]
    if [one["event"] for one in told] != [COMPLETED]:
        yield f"I13: users heard {sorted(one['event'] for one in told)}"
    if [one["type"] for one in case.events] != ["clone.completed"]:
        yield f"I13: the CRM heard {sorted(one['type'] for one in case.events)}"
    if waiting := [one["_id"] for one in told if one["state"] != "delivered"]:
        yield f"I13: {_some(waiting)} not delivered"
    if case.funnel.get("events_due"):
        yield "I13: events are still due"
    if case.heard is not None and set(case.heard) != {one["_id"] for one in told}:
        yield f"I13: received was {_some(set(case.heard)) or 'nothing'}"


def ended_by_one_update(case: Case) -> Iterator[str]:
    """I13: the update that clears `pending` comes once, brings the events and finds all steps done."""
    ends = 0
    done: set[ObjectId] = set()
    for change in case.changes:
        if change.collection == "funnel.step" and change.state:
            (done.add if change.state == "done" else done.discard)(change.id)
        if change.id != case.id or change.fields.get("pending") is not False:
            continue
        ends += 1
        due = {one["event_id"] for one in change.fields.get("events_due") or []}
        if due != {one["_id"] for one in (*case.messages, *case.events)}:
            yield f"I13: ended with the events {_some(due) or 'none'}"
        if len(done) < len(case.frozen):
            yield f"I13: ended when {len(done)} of {len(case.frozen)} steps were done"
    if ends != 1:
        yield f"I13: ended {ends} times"


def one_tenant(case: Case) -> Iterator[str]:
    """I17: all that was made belongs to the account of the clone."""
    account = case.funnel["account_id"]
    for kind in ("steps", "components", "images", "forms", "messages", "events"):
        if foreign := [one["_id"] for one in getattr(case, kind) if one.get("account_id") != account]:
            yield f"I17: {kind} {_some(foreign)} of another account"


TEXTS = ("HTML", "components")
PARTS = ("images_processed", "forms_processed", "chat_plugin_processed")
IMAGE = re.compile(r"https://s3\.example/crm/([^\"\\]+)")
"""The key of an image, as the pages of the source have it."""

CHECKS: tuple[Callable[[Case], Iterator[str]], ...] = (
    ended,
    nothing_held,
    one_writer,
    bijection,
    pages_are_copies,
    no_source_reference,
    images_open,
    no_litter,
    forms_are_own,
    source_is_untouched,
    one_completion,
    ended_by_one_update,
    one_tenant,
)


def _some(things: Iterable[object], most: int = 5) -> str:
    listed = [str(one) for one in things]
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
