"""What an import left in MongoDB and S3, read by pymongo and boto3."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import timedelta

from bson import ObjectId

from tests.support.drills.case import Case, Document
from tests.support.drills.imports.reference import Reference, read
from tests.support.drills.observer import Observer


@dataclass(frozen=True, kw_only=True)
class ImportCase(Case):
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

    @property
    def key(self) -> str:
        """Of the file."""
        return str(self.queue["csv"][0]["key"])

    def total(self, figure: str) -> int:
        return sum(int(chunk.get(figure, 0)) for chunk in self.chunks)

    @property
    def errors(self) -> list[Document]:
        return [error for chunk in self.chunks for error in chunk.get("errors", [])]


def import_case(observer: Observer, queue_id: ObjectId, file: bytes, max_orphaned: timedelta) -> ImportCase:
    """`file`: the bytes that were uploaded."""
    find, queue = observer.find, observer.get("queues", queue_id)
    prefix = queue["csv"][0]["key"].rpartition("/")[0] + "/"
    pipeline_id = queue["additional_data"]["pipeline_id"]
    return ImportCase(
        queue=queue,
        reference=read(file, queue["mappings"]),
        chunks=sorted(find("import_chunks", queue_id=queue_id), key=lambda chunk: chunk["n"]),
        deals=sorted(find("deals", pipeline_id=pipeline_id), key=lambda deal: deal.get("import_row") or 0),
        stages=find("pipeline_stages", pipeline_id=pipeline_id),
        reports=find("csv_imports", queue_id=queue_id),
        events=find("crm_events", **{"data.queue_id": str(queue_id)}),
        messages=find("outbox", **{"data.queue_id": str(queue_id)}),
        objects=set(observer.object_keys(prefix)),
        uploads=observer.unfinished_uploads(prefix),
        error_csv=_error_csv(observer, queue),
        changes=observer.changes(),
        lease=observer.lease,
        max_orphaned=max_orphaned,
    )


def _error_csv(observer: Observer, queue: Document) -> list[list[str]] | None:
    if not (key := queue.get("error_csv_key")):
        return None
    (body,) = observer.objects([key]).values()
    return list(csv.reader(io.StringIO(body.decode(), newline="")))
