"""Submits an import: stores its file and queues it, as the CRM does.

The queue document comes first, with the status `uploading`, which no sweep takes up; after the upload one guarded
update makes it `pending`. So no crash leaves an object without a document that names it. An upload that fails makes the
import `failed`. One that never ended stays `uploading`, visible in `imports list`, until its account submits again more
than a day later: that marks it `failed` as well. `imports retry` takes up a failed import whose object is there after
all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.dialect import SAMPLE_BYTES
from pipeline_engine.domain.imports.csv.inspection import inspect
from pipeline_engine.domain.imports.request import (
    ImportRequest,
    check_key,
    read_request,
    refuse_foreign,
    refuse_unknown,
    retry_root,
)
from pipeline_engine.domain.imports.retry_rows import row_place
from pipeline_engine.errors import Permanent
from pipeline_engine.lanes.classify_error import full
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import UPLOADING

DEFAULT_KEY_PREFIX = "imports/{account_id}/"
"""Where files go when IMPORT_KEY_PREFIX is empty."""
MAX_UPLOAD_TIME = timedelta(days=1)


@dataclass(frozen=True)
class NewImport:
    """What to import; `name` is the file's, `mappings` is {column: field or id of a custom field}.

    `options` go into `additional_data` beside pipeline and tags, e.g. `delimiter`.
    """

    account_id: ObjectId
    user_id: ObjectId
    pipeline_id: ObjectId
    mappings: Mapping[str, str]
    tags: Sequence[str] = ()
    name: str = "import.csv"
    parent_account: ObjectId | None = None
    client_id: ObjectId | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


async def submit(app: App[ImportRepos], wanted: NewImport, file: AsyncIterator[bytes]) -> ObjectId:
    """Upload the file and return the id of its import, which is pending then.

    Raises: ImportRefused when an option, the mapping, a reference or the beginning of the file is wrong, and nothing
    is stored; what the storage or `file` raises, and the import is `failed`; Permanent `upload_too_slow` when the
    upload took over `MAX_UPLOAD_TIME`.
    """
    queue_id, prefix = ObjectId(), app.settings.import_key_prefix
    key = check_key(file_key(prefix, wanted.account_id, queue_id), wanted.account_id, prefix)
    queue = _document(wanted, queue_id, key)
    request = read_request(queue)
    await refuse_foreign(app, request)
    await refuse_unknown(app, request)
    await retry_root(app, request)
    head = await _inspected(file, request)
    now = app.clock.now()
    await app.repos.imports.fail_old_uploads(
        wanted.account_id, now - MAX_UPLOAD_TIME, "the upload of its file never ended"
    )
    await app.repos.imports.submit({**queue, "createdAt": now, "updatedAt": now})
    await _upload(app, queue, _chain(head, file))
    if not await app.repos.imports.end_upload(wanted.account_id, queue_id, "pending"):
        raise Permanent(f"import {queue_id}: the upload took over a day: submit the file again", "upload_too_slow")
    return queue_id


async def _inspected(file: AsyncIterator[bytes], request: ImportRequest) -> list[bytes]:
    """Take from the file what is needed to see its header, and return these blocks. Raises: as `inspect`."""
    blocks: list[bytes] = []
    size, whole = SAMPLE_BYTES, False
    while True:
        while not whole and sum(map(len, blocks)) < size:
            block = await anext(file, None)
            blocks += [block] if block is not None else []
            whole = block is None
        if found := inspect(b"".join(blocks), request.options, request.mappings, whole=whole):
            if request.retry_of:
                row_place(found.header.columns)
            return blocks
        size *= 4


async def _chain(blocks: Sequence[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block
    async for block in rest:
        yield block


async def _upload(app: App[ImportRepos], queue: Mapping[str, Any], file: AsyncIterator[bytes]) -> None:
    try:
        await app.storage.put_stream(queue["csv"][0]["key"], file, "text/csv")
    except Exception as error:
        reason = f"the upload of its file failed: {full(error)}"
        await app.repos.imports.end_upload(queue["account_id"], queue["_id"], "failed", error=reason)
        raise


def file_key(prefix: str | None, account_id: ObjectId, queue_id: ObjectId) -> str:
    """Return the S3 key for an uploaded file, under the operator's prefix if there is one."""
    return f"{(prefix or DEFAULT_KEY_PREFIX).replace('{account_id}', str(account_id))}{queue_id}.csv"


def _document(wanted: NewImport, queue_id: ObjectId, key: str) -> dict[str, Any]:
    """The seed's fields."""
    return {
        "_id": queue_id,
        "source": "deals",
        "status": UPLOADING,
        "in_progress": False,
        "user_id": wanted.user_id,
        "account_id": wanted.account_id,
        "parent_account": wanted.parent_account,
        "client_id": wanted.client_id,
        "mappings": dict(wanted.mappings),
        "csv": [{"key": key, "name": wanted.name}],
        "additional_data": {"pipeline_id": wanted.pipeline_id, "tags": list(wanted.tags), **wanted.options},
    }
