"""What a queue document asks for, read and checked before the first byte of the file is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.domain.imports.options import check_options, check_unique_by
from pipeline_engine.domain.imports.refusal import ImportRefused, quoted
from pipeline_engine.errors import Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import ENDED

NOUNS = {"_accounts": "account", "users": "user", "pipelines": "pipeline"}
MISSING_KEY = "missing_key"
MAX_KEY_BYTES = 1024
"""Bytes of UTF-8; S3 allows no more."""
# Control characters, line separators and text directions that would show a key as something else.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
DOTS = re.compile(r"\.\.|%2e%2e|%2e\.|\.%2e", re.IGNORECASE)


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
    """The whole `additional_data`."""
    generation: int
    """How often the import was retried by hand."""

    @property
    def runs_automations(self) -> bool:
        return bool(self.options.get("automations") != "skip")

    @property
    def dry_run(self) -> bool:
        """Whether the file is only read and checked: no deal and no stage is made."""
        return self.options.get("dry_run") is True

    @property
    def unique_by(self) -> tuple[str, ...]:
        """The fields by which a row is left out when the account has an equal deal; empty when every row is added."""
        duplicates = self.options.get("duplicates") or {}
        return tuple(duplicates["by"]) if duplicates.get("policy") == "skip" else ()

    @property
    def retry_of(self) -> ObjectId | None:
        """The import whose corrected error CSV this file is."""
        return object_id(self.options.get("retry_of"))


def read_request(queue: Mapping[str, Any]) -> ImportRequest:
    """Return what the queue document asks for. Raises: ImportRefused naming the field that is missing or malformed."""
    options = queue.get("additional_data")
    if not isinstance(options, Mapping):
        raise ImportRefused("additional_data with a pipeline_id is missing", "bad_request")
    check_options(options)
    mappings = queue.get("mappings") or {}
    if not isinstance(mappings, Mapping):
        raise ImportRefused("mappings must be an object {column: field}", "mapping")
    check_unique_by(options, mappings)
    tags = options.get("tags")
    if not isinstance(tags, list | None):
        raise ImportRefused(f"additional_data.tags must be a list, not {quoted(tags)}", "bad_request")
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


def _reference(name: str, value: object) -> ObjectId:
    found = object_id(value)
    if found is None:
        raise ImportRefused(f"{name} must be an id, not {quoted(value)}", "bad_request")
    return found


async def refuse_foreign(app: App[ImportRepos], request: ImportRequest) -> None:
    """Return if the account is active and owns, or may own, all that the request refers to.

    Raises: ImportRefused `account_inactive`, `foreign_reference` naming the ids that another account owns, or
    `inactive_user` or `missing_user` naming the user in whose name it imports.
    """
    if not await app.shared.references.account_is_active(request.account_id):
        raise ImportRefused("the account is not active", "account_inactive")
    references = {
        "users": [request.user_id],
        "pipelines": [request.pipeline_id],
        "custom_fields": [field for field in map(object_id, request.mappings.values()) if field],
        "tags": [tag for tag in map(object_id, request.tags) if tag],
    }
    for collection, ids in references.items():
        try:
            await app.shared.references.check(collection, ids, request.account_id)
        except Permanent as refusal:
            why = str(refusal)
            if await app.shared.references.unknown("_accounts", request.account_id):
                why = f"there is no account {request.account_id}, so nothing can belong to it ({why})"
            raise ImportRefused(why, refusal.code) from None


async def refuse_unknown(app: App[ImportRepos], request: ImportRequest) -> None:
    """Return if account, user and pipeline exist, as far as the CRM keeps such documents here.

    A run does not ask this: the CRM may keep them elsewhere. An operator who submits a file may have mistyped an id.
    Raises: ImportRefused `unknown` naming what does not exist.
    """
    named = {"_accounts": request.account_id, "users": request.user_id, "pipelines": request.pipeline_id}
    for collection, id in named.items():
        if await app.shared.references.unknown(collection, id):
            raise ImportRefused(f"there is no {NOUNS[collection]} {id}", "unknown")


async def retry_root(app: App[ImportRepos], request: ImportRequest) -> ObjectId | None:
    """Return the import whose rows `retry_of` corrects; of a chain of corrections the first. None without `retry_of`.

    Raises: ImportRefused `retry_of` when the account has no such import, or when it has not ended: it might yet bring
    in the same rows.
    """
    first = await corrected_import(app, request)
    if first is None:
        return None
    if first["status"] not in ENDED:
        raise ImportRefused(f"retry_of: import {request.retry_of} is {first['status']}: wait for its end", "retry_of")
    return object_id(first.get("retry_root")) or request.retry_of


async def corrected_import(app: App[ImportRepos], request: ImportRequest) -> Mapping[str, Any] | None:
    """Return the queue document of the import that `retry_of` names; None without `retry_of`.

    Raises: ImportRefused `retry_of` when the account has no such import.
    """
    if request.retry_of is None:
        return None
    first = await app.repos.imports.get(request.retry_of)
    if first is None or object_id(first.get("account_id")) != request.account_id:
        raise ImportRefused(f"retry_of: the account has no import {request.retry_of}", "retry_of")
    return first


def read_key(queue: Mapping[str, Any]) -> str:
    """Return the S3 key of the file. Raises: ImportRefused `missing_key`."""
    files = queue.get("csv")
    first = files[0] if isinstance(files, list) and files else None
    key = first.get("key") if isinstance(first, Mapping) else None
    if not isinstance(key, str) or not key:
        raise ImportRefused(f"Key is missing. Queue id: {queue['_id']}", MISSING_KEY)
    return key


def check_key(key: str, account_id: ObjectId, prefix: str | None) -> str:
    """Return the key unchanged if an import of this account may read it.

    `prefix` is the operator's template, e.g. `imports/{account_id}/`; None allows the whole bucket.

    Raises: ImportRefused `bad_key`.
    """
    if fault := _key_fault(key):
        raise ImportRefused(f"the key of the file {fault}: {quoted(key)}", "bad_key")
    if not key.startswith(under := (prefix or "").replace("{account_id}", str(account_id))):
        raise ImportRefused(f"the key of the file must begin with {under}: {quoted(key)}", "bad_key")
    return key


def _key_fault(key: str) -> str | None:
    faults = {
        "is empty": not key,
        "holds a control character": UNPRINTABLE.search(key),
        "holds '..'": DOTS.search(key),
        "begins with '/'": key.startswith("/"),
        "holds an empty part": "//" in key,
        "is that of a folder": key.endswith("/"),
        f"is longer than {MAX_KEY_BYTES} bytes": len(key.encode(errors="replace")) > MAX_KEY_BYTES,
    }
    return next((fault for fault, found in faults.items() if found), None)
