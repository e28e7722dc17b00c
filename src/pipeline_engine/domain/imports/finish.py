"""Ends an import: figures from its chunks, the report, the error CSV, then one update of the queue document."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from itertools import islice
from typing import Any

import bson
from bson import ObjectId

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.events import relay
from pipeline_engine.domain.imports.csv.error_csv import ErrorCsv
from pipeline_engine.domain.imports.request import read_key
from pipeline_engine.domain.imports.row_facts import note_warnings
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import QUEUES

CHUNK_RETENTION = timedelta(days=30)
MAX_LOG_CELLS, MAX_LOG_CELL_CHARS, MAX_LOG_BYTES = 64, 256, 8 * 1024**2
"""Cells of a row, characters of a cell and bytes in all that `csv_imports.logs` holds; the error CSV has everything."""

log = logs.get(__name__)


async def finish(app: App[ImportRepos], held: Mapping[str, Any], status: str, error: str | None = None) -> None:
    """End the import that this run holds as completed, failed or cancelled.

    Every step may be repeated after a crash: report and error CSV have fixed names, and only the last update makes the
    end visible and its events due.

    Raises: LeaseLost when another run has the import; Transient when the storage is away, and nothing has ended then.
    """
    account_id, import_id = object_id(held.get("account_id")), held["_id"]
    if account_id is None:
        await _end(app, held, status, {"error": error})
        return
    totals = await app.repos.chunks.totals(account_id, import_id)
    error_csv_key = await _write_error_csv(app, held, account_id) if totals["failed"] else None
    await _write_report(app, held, account_id, totals, error=error, error_csv_key=error_csv_key)
    if status == "completed" and held["additional_data"].get("delete_csv"):
        await _delete_file(app, held)
    await app.repos.chunks.expire(account_id, import_id, app.clock.now() + CHUNK_RETENTION)
    progress = {f"progress.{name}": value for name, value in figures(totals).items()}
    await _end(app, held, status, {"error": error, "error_csv_key": error_csv_key, **progress}, totals)


def figures(totals: Mapping[str, int]) -> dict[str, int]:
    """Return the sums over the chunks under the names of `progress`."""
    return {
        "rows_added": totals["created"],
        "rows_updated": totals["updated"],
        "rows_skipped": totals["skipped"],
        "rows_failed": totals["failed"],
    }


async def _end(
    app: App[ImportRepos],
    held: Mapping[str, Any],
    status: str,
    changes: dict[str, Any],
    totals: Mapping[str, int] | None = None,
) -> None:
    events = _events(held, status, totals or {"created": 0, "failed": 0})
    ended = await app.repos.imports.end(held, status, events, **changes)
    if ended is None:
        raise LeaseLost(f"import {held['_id']} was taken over by another run")
    log.info("import.ended", queue_id=str(held["_id"]), status=status, error=changes["error"], **dict(totals or {}))
    await relay.publish_due(app, QUEUES, ended)


def _events(held: Mapping[str, Any], status: str, totals: Mapping[str, int]) -> list[dict[str, Any]]:
    import_id, user_id = str(held["_id"]), held.get("user_id")
    result = {"queue_id": import_id, "status": status, "added": totals["created"], "failed": totals["failed"]}
    run = f"{import_id}:{held.get('generation', 0)}"
    users = [str(user_id)] if user_id else []
    events = [relay.socket_event(f"import_finished:{run}", "import_finished", users, result)]
    if status == "completed":
        events.append(relay.crm_event(f"import.completed:{run}", "import.completed", user_id, result))
    return events


async def _write_report(
    app: App[ImportRepos], held: Mapping[str, Any], account_id: ObjectId, totals: Mapping[str, int], **facts: object
) -> None:
    await app.repos.csv_imports.write(
        account_id,
        held["_id"],
        await _first_errors(app, account_id, held["_id"]) if totals["failed"] else [],
        user_id=held.get("user_id"),
        total_records_added=totals["created"],
        total_errors=totals["failed"],
        warnings=held.get("plan", {}).get("warnings", [])
        + note_warnings(await app.repos.chunks.notes(account_id, held["_id"])),
        **facts,
    )


async def _first_errors(app: App[ImportRepos], account_id: ObjectId, import_id: ObjectId) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    bytes_left = MAX_LOG_BYTES
    async for error in app.repos.chunks.errors(account_id, import_id):
        records.append(_log_record(error))
        bytes_left -= len(bson.encode(records[-1]))
        if len(records) == app.settings.import_log_rows or bytes_left < 0:
            break
    return records


def _log_record(error: Mapping[str, Any]) -> dict[str, Any]:
    """An error as `csv_imports.logs` holds it; the message is the seed's, the reason stands in `additional_info`."""
    return {
        "position": error["row"],
        "line": error["line"],
        "column": error["column"],
        "code": error["code"],
        "message": "Deal Insertion failed.",
        "additional_info": error["message"],
        "row": [cell[:MAX_LOG_CELL_CHARS] for cell in islice(error["cells"], MAX_LOG_CELLS)],
    }


async def _write_error_csv(app: App[ImportRepos], held: Mapping[str, Any], account_id: ObjectId) -> str | None:
    key = _error_csv_key(read_key(held), str(held["_id"]))
    try:
        await app.storage.put_stream(key, _error_lines(app, held, account_id))
    except Permanent as refused:
        # A storage that only grants reading must not keep the import from ending.
        log.warning("import.error_csv_refused", queue_id=str(held["_id"]), error=refused)
        return None
    return key


async def _delete_file(app: App[ImportRepos], held: Mapping[str, Any]) -> None:
    try:
        await app.storage.delete(read_key(held))
    except Permanent as refused:
        log.warning("import.file_kept", queue_id=str(held["_id"]), error=refused)


def _error_csv_key(key: str, import_id: str) -> str:
    """Return the key of the error CSV: beside the file, so that the permissions of the file apply to it."""
    return f"{key.removesuffix('.csv')}.errors-{import_id}.csv"


async def _error_lines(app: App[ImportRepos], held: Mapping[str, Any], account_id: ObjectId) -> AsyncIterator[bytes]:
    report = ErrorCsv(held["plan"]["columns"], held.get("dialect", {}).get("delimiter", ","))
    yield report.header()
    async for error in app.repos.chunks.errors(account_id, held["_id"]):
        yield report.line(error)
