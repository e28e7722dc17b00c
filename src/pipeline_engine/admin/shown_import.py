"""What `GET /api/v1/deals/import/{id}` says of an import. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.domain.imports.finish import rows_in_all, settled
from pipeline_engine.domain.imports.options import is_dry_run
from pipeline_engine.domain.webhooks.payload import plain

Document = Mapping[str, Any]

MAX_ERRORS = 10
"""Row errors that are listed one by one; all of them are in the error CSV."""
REPORTED = ("warnings", "outlook", "error_groups")
ERROR_FIELDS = ("position", "line", "column", "code", "additional_info")
"""The cells of the row are left out: they stand in the error CSV."""


def shown_import(queue: Document, report: Document) -> dict[str, Any]:
    """The import as JSON can hold it. `report` is that of `csv_imports`, and empty before the end."""
    logs = report.get("logs", [])[:MAX_ERRORS]
    found = {
        "queue_id": queue["_id"],
        "status": queue.get("status"),
        "cancel_requested": queue.get("cancel_requested") is True,
        "file": (next(iter(queue.get("csv") or []), None) or {}).get("name"),
        **{name: (queue.get("additional_data") or {}).get(name) for name in ("pipeline_id", "tags", "retry_of")},
        "dry_run": is_dry_run(queue),
        "created_at": queue.get("createdAt"),
        **{name: queue.get(name) for name in ("started_at", "completed_at", "attempts")},
        **_counts(queue),
        **{name: queue.get(name) for name in ("error", "error_csv_key")},
        "warnings": (queue.get("plan") or {}).get("warnings", []),
        **{name: report[name] for name in REPORTED if name in report},
        "errors_shown": [{name: entry.get(name) for name in ERROR_FIELDS} for entry in logs],
    }
    return {name: plain(value) for name, value in found.items()}


def _counts(queue: Document) -> dict[str, Any]:
    """`total` is an estimate until the file is read to its end; `progress` goes from 0 to 1."""
    progress = queue.get("progress") or {}
    total, done = rows_in_all(progress), settled(progress)
    share = 1.0 if queue.get("status") == "completed" else min(1.0, done / total) if total else 0.0
    names = {"added": "rows_added", "updated": "rows_updated", "skipped": "rows_skipped", "errors": "rows_failed"}
    counts = {name: progress.get(stored, 0) for name, stored in names.items()}
    return {"total": total, **counts, "progress": round(share, 3)}
