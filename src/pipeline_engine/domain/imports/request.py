"""What a queue document asks for, read once and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.domain.imports.refusal import ImportRefused, shown
from pipeline_engine.ids import object_id

MISSING_KEY = "missing_key"


@dataclass(frozen=True)
class ImportRequest:
    """An import as its user asked for it. Ids are ObjectIds however the CRM spelled them."""

    id: ObjectId
    account_id: ObjectId
    user_id: ObjectId
    pipeline_id: ObjectId
    mappings: Mapping[str, str]
    tags: list[Any]
    options: Mapping[str, Any]
    generation: int

    @property
    def runs_automations(self) -> bool:
        return bool(self.options.get("automations") != "skip")


def read_request(queue: Mapping[str, Any]) -> ImportRequest:
    """Raises: ImportRefused naming the field that is missing or malformed."""
    options = queue.get("additional_data")
    if not isinstance(options, Mapping):
        raise ImportRefused("additional_data with a pipeline_id is missing", "bad_request")
    mappings = queue.get("mappings") or {}
    if not isinstance(mappings, Mapping):
        raise ImportRefused("mappings must be an object {column: field}", "mapping")
    tags = options.get("tags")
    if not isinstance(tags, list | None):
        raise ImportRefused(f"additional_data.tags must be a list, not {shown(tags)}", "bad_request")
    return ImportRequest(
        id=queue["_id"],
        account_id=_reference("account_id", queue.get("account_id")),
        user_id=_reference("user_id", queue.get("user_id")),
        pipeline_id=_reference("additional_data.pipeline_id", options.get("pipeline_id")),
        mappings=mappings,
        tags=tags or [],
        options=options,
        generation=queue.get("generation", 0),
    )


def read_key(queue: Mapping[str, Any]) -> str:
    """The S3 key of the file.

    Raises: ImportRefused with the code `missing_key`.
    """
    files = queue.get("csv")
    first = files[0] if isinstance(files, list) and files else None
    key = first.get("key") if isinstance(first, Mapping) else None
    if not isinstance(key, str) or not key:
        raise ImportRefused(f"Key is missing. Queue id: {queue['_id']}", MISSING_KEY)
    return key


def _reference(name: str, value: object) -> ObjectId:
    found = object_id(value)
    if found is None:
        raise ImportRefused(f"{name} must be an id, not {shown(value)}", "bad_request")
    return found
