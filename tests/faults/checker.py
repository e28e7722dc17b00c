"""Compares what stands in MongoDB and S3 after an import with what reliability.md promises (I1-I6, I9, I14, I16).

It shares no code with the engine: the file is read by Python's csv module, the servers by pymongo and boto3.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import boto3
from bson import ObjectId
from pymongo import MongoClient

from tests.support.history import LONGEST_ORPHAN, Change, History, changes
from tests.support.reference import Reference, read, same_stage

Document = dict[str, Any]
OWN_COLUMNS = ["_row", "_line", "_column", "_code", "_message"]


@dataclass(frozen=True)
class Case:
    """Everything about one import that the checks look at."""

    queue: Document
    reference: Reference
    chunks: list[Document]
    deals: list[Document]
    stages: list[Document]
    reports: list[Document]
    events: list[Document]
    messages: list[Document]
    objects: set[str]
    uploads: list[str]
    error_csv: list[list[str]] | None
    changes: list[Change]
    lease: float
    patience: timedelta

    @property
    def key(self) -> str:
        """Of the file."""
        return str(self.queue["csv"][0]["key"])

    def total(self, figure: str) -> int:
        return sum(int(chunk.get(figure, 0)) for chunk in self.chunks)

    @property
    def errors(self) -> list[Document]:
        return [error for chunk in self.chunks for error in chunk.get("errors", [])]


class Checker:
    """Sees every change from its creation on: `Checker(environment)` before the import is queued."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._mongo: MongoClient[Document] = MongoClient(environment["MONGO_URL"], tz_aware=True)
        self._db = self._mongo.get_default_database()
        self._bucket = environment["S3_BUCKET"]
        self._lease = float(environment["LEASE_SECONDS"])
        self.s3 = boto3.client(
            "s3",
            endpoint_url=environment["S3_ENDPOINT_URL"],
            region_name=environment["S3_REGION"],
            aws_access_key_id=environment["S3_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["S3_SECRET_ACCESS_KEY"],
        )
        self._since = self._db.command("ping")["operationTime"]

    def close(self) -> None:
        self._mongo.close()
        self.s3.close()

    def violations(self, queue_id: ObjectId, file: bytes, patience: timedelta = LONGEST_ORPHAN) -> list[str]:
        """What is wrong with an import that should have completed, as `I4: ...`; empty when all is well.

        `patience`: how long a lease may have been nobody's; longer than usual where all daemons were away.
        """
        return judge(self.case(queue_id, file, patience))

    def longest_orphan(self) -> timedelta:
        """How long at most a lease had run out before somebody took over."""
        return History(changes(self._db, self._since), self._lease).longest_orphan

    def case(self, queue_id: ObjectId, file: bytes, patience: timedelta = LONGEST_ORPHAN) -> Case:
        """What there is to judge."""
        queue = self._db["queues"].find_one({"_id": queue_id})
        assert queue is not None, f"no import {queue_id}"
        prefix = queue["csv"][0]["key"].rpartition("/")[0] + "/"
        pipeline = {"pipeline_id": queue["additional_data"]["pipeline_id"]}
        return Case(
            queue=queue,
            reference=read(file, queue["mappings"]),
            chunks=list(self._db["import_chunks"].find({"queue_id": queue_id}).sort("n")),
            deals=list(self._db["deals"].find(pipeline).sort("import_row")),
            stages=list(self._db["pipeline_stages"].find(pipeline)),
            reports=list(self._db["csv_imports"].find({"queue_id": queue_id})),
            events=list(self._db["crm_events"].find({"data.queue_id": str(queue_id)})),
            messages=list(self._db["outbox"].find({"data.queue_id": str(queue_id)})),
            objects=self._objects(prefix),
            uploads=self._uploads(prefix),
            error_csv=self._error_csv(queue),
            changes=changes(self._db, self._since),
            lease=self._lease,
            patience=patience,
        )

    def _objects(self, prefix: str) -> set[str]:
        return {found["Key"] for found in self.s3.list_objects_v2(Bucket=self._bucket, Prefix=prefix)["Contents"]}

    def _uploads(self, prefix: str) -> list[str]:
        found = self.s3.list_multipart_uploads(Bucket=self._bucket, Prefix=prefix).get("Uploads", [])
        return [upload["Key"] for upload in found]

    def _error_csv(self, queue: Document) -> list[list[str]] | None:
        key = queue.get("error_csv_key")
        if not key:
            return None
        body = self.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return list(csv.reader(io.StringIO(body.decode(), newline="")))


def judge(case: Case) -> list[str]:
    """All violations."""
    return [violation for check in CHECKS for violation in check(case)]


def nothing_lost(case: Case) -> Iterator[str]:
    """I1: every unit has reached its end."""
    if case.queue["status"] != "completed":
        yield f"I1: the import is {case.queue['status']}: {case.queue.get('error')}"
    for chunk in case.chunks:
        if chunk["state"] != "done":
            yield f"I1: chunk {chunk['n']} is {chunk['state']}"
    if case.queue.get("events_due"):
        yield f"I1: events are still due: {case.queue['events_due']}"


def told_once(case: Case) -> Iterator[str]:
    """I1: the CRM and the user heard of the end, each once."""
    events = [(event["type"], event["status"]) for event in case.events]
    if events != [("import.completed", "new")]:
        yield f"I1: CRM events are {events}"
    messages = [(message["event"], message["state"]) for message in case.messages]
    if messages != [("import_finished", "delivered")]:
        yield f"I1: socket events are {messages}"


def nothing_held(case: Case) -> Iterator[str]:
    """I2 and I9: no lease and no flag outlives the run."""
    for document in (case.queue, *case.chunks):
        if document.get("lease_owner") is not None or document.get("lease_until") is not None:
            yield f"I2: {document['_id']} is still held by {document.get('lease_owner')}"
        if not isinstance(document.get("token"), int) or document["token"] < 1:
            yield f"I2: {document['_id']} has the token {document.get('token')}"
    if case.queue["in_progress"] is not False:
        yield "I9: in_progress is still set"


def one_writer(case: Case) -> Iterator[str]:
    """I2, I3 and I5: on the way, too, everything was in order."""
    yield from History(case.changes, case.lease, case.patience).violations


def rows_partition(case: Case) -> Iterator[str]:
    """I4: every row is a deal or an error, once."""
    deals = Counter(deal["import_row"] for deal in case.deals if deal.get("import_id") == case.queue["_id"])
    errors = Counter(error["row"] for error in case.errors)
    for kind, found, wanted in (("deal", deals, case.reference.deals), ("error", errors, case.reference.errors)):
        if double := [row for row, times in found.items() if times > 1]:
            yield f"I4: rows {_some(double)} are each more than one {kind}"
        if lost := set(wanted) - set(found):
            yield f"I4: rows {_some(lost)} became no {kind}"
        if extra := set(found) - set(wanted):
            yield f"I4: rows {_some(extra)} should have become no {kind}"
    if strangers := [deal["_id"] for deal in case.deals if deal.get("import_id") != case.queue["_id"]]:
        yield f"I4: deals {_some(strangers)} belong to no import"


def errors_told(case: Case) -> Iterator[str]:
    """I4: the error CSV has exactly the rows in error, each as it was and with the reason."""
    wanted = case.reference.errors
    if case.error_csv is None:
        if wanted:
            yield "I4: there is no error CSV"
        return
    header, *rows = case.error_csv
    if header != case.reference.header + OWN_COLUMNS:
        yield f"I4: the error CSV has the columns {header}"
    told = [(int(row[-5]), row[-2]) for row in rows]
    if told != sorted(wanted.items()):
        yield f"I4: the error CSV has {len(told)} rows, {len(wanted)} are in error, or other ones or for other reasons"
    codes = {error["row"]: error["code"] for error in case.errors}
    if codes != wanted:
        yield f"I4: rows {_some(set(codes.items()) ^ set(wanted.items()))} have another reason in the chunks"


def totals_agree(case: Case) -> Iterator[str]:
    """I4 and I5: the figures shown are the rows that there are."""
    wanted = {"added": len(case.reference.deals), "failed": len(case.reference.errors), "updated": 0, "skipped": 0}
    shown = {name: case.queue.get("progress", {}).get(f"rows_{name}") for name in wanted}
    if shown != wanted:
        yield f"I4: progress shows {shown}, there are {wanted}"
    ledger = {"added": case.total("created"), "failed": case.total("failed"), "rows": case.total("rows")}
    if ledger != {"added": wanted["added"], "failed": wanted["failed"], "rows": case.reference.rows}:
        yield f"I5: the chunks add up to {ledger}, there are {wanted}"
    if len(case.reports) != 1:
        yield f"I5: there are {len(case.reports)} reports"
    for report in case.reports:
        if (report["total_records_added"], report["total_errors"]) != (wanted["added"], wanted["failed"]):
            yield f"I4: the report shows {report['total_records_added']} and {report['total_errors']}"
    for event in (*case.events, *case.messages):
        if (event["data"]["added"], event["data"]["failed"]) != (wanted["added"], wanted["failed"]):
            yield f"I4: the event {event['_id']} tells {event['data']}"


def stages_once(case: Case) -> Iterator[str]:
    """I6: one stage per name, however it is spelled."""
    names = Counter((str(stage["account_id"]), same_stage(stage["name"])) for stage in case.stages)
    for (_, name), times in names.items():
        if times > 1:
            yield f"I6: there are {times} stages {name!r}"
    if unused := {name for _, name in names} - {same_stage(deal["stage_id"]) for deal in case.reference.deals.values()}:
        yield f"I6: nobody asked for the stages {_some(unused)}"


def no_litter(case: Case) -> Iterator[str]:
    """I14: nothing lies about."""
    belong = {case.key, case.queue.get("error_csv_key") or case.key}
    if litter := case.objects - belong:
        yield f"I14: objects {_some(litter)}"
    if missing := belong - case.objects:
        yield f"I14: objects {_some(missing)} are gone"
    if case.uploads:
        yield f"I14: unfinished uploads of {_some(case.uploads)}"


def same_deals(case: Case) -> Iterator[str]:
    """I16: the deals are those that a run without any fault makes."""
    stages = {stage["_id"]: stage["name"] for stage in case.stages}
    options = case.queue["additional_data"]
    common = {
        "account_id": case.queue["account_id"],
        "created_by": case.queue["user_id"],
        "owner": case.queue["user_id"],
        "pipeline_id": options["pipeline_id"],
        "tags": options["tags"],
        "source": "csv",
    }
    for deal in case.deals:
        wanted = {**case.reference.deals.get(deal["import_row"], {}), **common}
        found = {**deal, "stage_id": stages.get(deal["stage_id"])}
        if wrong := [name for name, value in wanted.items() if found.get(name) != value]:
            yield f"I16: row {deal['import_row']}: {wrong[0]} is {found.get(wrong[0])!r}, not {wanted[wrong[0]]!r}"
        if deal.get("automation_starts") is None:
            yield f"I16: row {deal['import_row']} starts no automations"


CHECKS: tuple[Callable[[Case], Iterator[str]], ...] = (
    nothing_lost,
    told_once,
    nothing_held,
    one_writer,
    rows_partition,
    errors_told,
    totals_agree,
    stages_once,
    no_litter,
    same_deals,
)


def _some(things: Iterable[object], most: int = 5) -> str:
    listed = sorted(map(str, things))
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
