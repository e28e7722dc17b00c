"""The manual trigger: stores a file and queues its import, as the CRM does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.csv.mapping import compile_mapping
from pipeline_engine.domain.imports.request import check_key, read_request, refuse_foreign

FOLDER = "imports/{account_id}/"
"""Where files go when IMPORT_KEY_PREFIX names no place."""


@dataclass(frozen=True)
class NewImport:
    """What somebody wants imported; `name` is the file's, `mappings` is {column: field or id of a custom field}."""

    account_id: ObjectId
    user_id: ObjectId
    pipeline_id: ObjectId
    mappings: Mapping[str, str]
    tags: Sequence[str] = ()
    name: str = "import.csv"
    parent_account: ObjectId | None = None
    client_id: ObjectId | None = None


async def submit(app: App, wanted: NewImport, file: AsyncIterator[bytes]) -> ObjectId:
    """Upload the file, then insert the pending queue document. Returns its id.

    Raises: ImportRefused when the mapping or a reference is wrong; nothing is stored then. What the storage raises.
    """
    queue_id = ObjectId()
    prefix = app.settings.import_key_prefix
    key = check_key(file_key(prefix, wanted.account_id, queue_id), wanted.account_id, prefix)
    queue = _document(wanted, queue_id, key)
    # With these columns and no others: what the file lacks is told when it is read.
    compile_mapping(wanted.mappings, list(wanted.mappings))
    await refuse_foreign(app, read_request(queue))
    await app.storage.put_stream(key, file, "text/csv")
    now = app.clock.now()
    await app.imports.submit({**queue, "createdAt": now, "updatedAt": now})
    return queue_id


def file_key(prefix: str | None, account_id: ObjectId, queue_id: ObjectId) -> str:
    """The S3 key of an uploaded file, under the operator's prefix if there is one."""
    return f"{(prefix or FOLDER).replace('{account_id}', str(account_id))}{queue_id}.csv"


def _document(wanted: NewImport, queue_id: ObjectId, key: str) -> dict[str, Any]:
    """The seed's fields."""
    return {
        "_id": queue_id,
        "source": "deals",
        "status": "pending",
        "in_progress": False,
        "user_id": wanted.user_id,
        "account_id": wanted.account_id,
        "parent_account": wanted.parent_account,
        "client_id": wanted.client_id,
        "mappings": dict(wanted.mappings),
        "csv": [{"key": key, "name": wanted.name}],
        "additional_data": {"pipeline_id": wanted.pipeline_id, "tags": list(wanted.tags)},
    }
