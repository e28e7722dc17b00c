"""Ends an import: figures from its chunks, the report, the error CSV, then one update of the queue document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipeline_engine import logs
from pipeline_engine.app import App
from pipeline_engine.domain.events import relay
from pipeline_engine.domain.imports.error_words import doubt_in_words
from pipeline_engine.domain.imports.options import is_dry_run
from pipeline_engine.domain.imports.report import write_error_csv, write_report
from pipeline_engine.domain.imports.request import read_key
from pipeline_engine.errors import LeaseLost, Permanent
from pipeline_engine.ids import object_id
from pipeline_engine.repos.import_repos import ImportRepos
from pipeline_engine.repos.imports import QUEUES

MAX_GROUPS = 100
"""Kinds of row errors that a report holds."""
CHUNK_RETENTION = timedelta(days=30)

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
    error_csv_key = await write_error_csv(app, held, account_id) if totals["failed"] else None
    groups = await app.repos.chunks.error_groups(account_id, import_id, MAX_GROUPS) if totals["failed"] else []
    error = error or doubt_in_words(groups)
    await write_report(app, held, account_id, totals, groups, error=error, error_csv_key=error_csv_key)
    if status == "completed" and held["additional_data"].get("delete_csv") and not is_dry_run(held):
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
    # The reason may quote a cell of the file, or a foreign exception that does: it stands in the document only.
    log.info("import.ended", queue_id=str(held["_id"]), status=status, **dict(totals or {}))
    await relay.publish_due(app, QUEUES, ended)


def _events(held: Mapping[str, Any], status: str, totals: Mapping[str, int]) -> list[dict[str, Any]]:
    import_id, user_id = str(held["_id"]), held.get("user_id")
    result: dict[str, Any] = {
        "queue_id": import_id,
        "status": status,
        "added": totals["created"],
        "failed": totals["failed"],
    }
    run = f"{import_id}:{held.get('generation', 0)}"
    users = [str(user_id)] if user_id else []
    events = [relay.socket_event(f"import_finished:{run}", "import_finished", users, result)]
    if is_dry_run(held):  # the CRM's consumers would look for deals
        result["dry_run"] = True
    elif status == "completed":
        events.append(relay.crm_event(f"import.completed:{run}", "import.completed", user_id, result))
    return events


async def _delete_file(app: App[ImportRepos], held: Mapping[str, Any]) -> None:
    try:
        await app.storage.delete(read_key(held))
    except Permanent as refused:
        log.warning("import.file_kept", queue_id=str(held["_id"]), error=refused)


def settled(progress: Mapping[str, int]) -> int:
    """Return how many rows there are whose outcome is known."""
    return sum(progress.get(f"rows_{outcome}", 0) for outcome in ("added", "updated", "skipped", "failed"))


def rows_in_all(progress: Mapping[str, int]) -> int | None:
    """The rows of the file: exact once it was read to its end, before that an estimate; None before the first byte."""
    read = progress.get("bytes_read", 0)
    return round(progress["rows_read"] * progress["bytes_total"] / read) if read else None
