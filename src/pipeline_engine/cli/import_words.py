"""How `imports list`, `show` and `preview` put imports into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.imports.csv.in_words import dialect_in_words
from pipeline_engine.domain.imports.error_words import group_in_words
from pipeline_engine.domain.imports.options import is_dry_run
from pipeline_engine.domain.imports.preview import ImportPreview

Document = Mapping[str, Any]

MAX_ERRORS = 10
"""Row errors that `show` prints one by one."""
WIDE = 130
"""Columns of a terminal from which on the whole table fits."""
NARROW_COLUMNS = ("id", "status", "added", "failed", "file")
WIDE_COLUMNS = ("id", "status", "account", "file", "rows", "added", "failed", "created")
UNBROKEN = ("id", "status", "account", "rows", "added", "failed", "created")
ERROR_COLUMNS = ("row", "line", "column", "code", "why")


def listed(screen: Screen, queues: Sequence[Document]) -> None:
    """Print the imports as a table that fits on the terminal, and below it why some failed."""
    columns = WIDE_COLUMNS if screen.width >= WIDE else NARROW_COLUMNS
    screen.table(columns, [[_cells(queue)[name] for name in columns] for queue in queues], unbroken=UNBROKEN)
    for queue in queues:
        if queue.get("error"):
            screen.line(f"{queue['_id']}: {queue['error']}")


def _cells(queue: Document) -> dict[str, object]:
    progress = queue.get("progress") or {}
    return {
        "id": queue["_id"],
        "status": queue["status"],
        "account": queue.get("account_id"),
        "file": _file(queue).get("name"),
        "rows": progress.get("rows_read"),
        "added": progress.get("rows_added"),
        "failed": progress.get("rows_failed"),
        "created": queue.get("createdAt") or queue["_id"].generation_time,
    }


def facts_of(queue: Document, total: float | None) -> list[tuple[str, object]]:
    """What `show` says of an import; `total` is the sum of the values of its deals."""
    options = queue.get("additional_data") or {}
    words = ("attempts", "started_at", "completed_at", "error", "error_csv_key")
    figures = (queue.get("progress") or {}).items()
    return [
        ("id", queue["_id"]),
        ("status", _status(queue)),
        ("account", queue.get("account_id")),
        ("user", queue.get("user_id")),
        ("pipeline", options.get("pipeline_id")),
        ("file", _file(queue).get("name")),
        ("key", _file(queue).get("key")),
        ("dry run", "yes: no deal and no stage is created" if is_dry_run(queue) else None),
        ("corrects", options.get("retry_of")),
        ("file read as", dialect_in_words(queue.get("dialect") or {})),
        *((name.replace("_", " "), value) for name, value in figures),
        ("total of value", round(total, 2) if total is not None else None),
        *((name.replace("_", " "), queue.get(name)) for name in words),
        *(("warning", warning) for warning in (queue.get("plan") or {}).get("warnings", [])),
    ]


def shown_report(screen: Screen, report: Document) -> None:
    """Print what a dry run would do, the row errors by kind, and the first of them one by one."""
    for line in report.get("outlook", []):
        screen.line(f"dry run: {line}")
    logs, total = report.get("logs", []), report.get("total_errors", 0)
    if not logs:
        return
    screen.line()
    for group in report.get("error_groups", []):
        screen.line(group_in_words(group))
    screen.line()
    screen.line(_heading(min(MAX_ERRORS, len(logs)), total))
    screen.table(ERROR_COLUMNS, map(_error, logs[:MAX_ERRORS]))


def _heading(shown: int, total: int) -> str:
    if shown == total:
        return "The row that was not imported:" if total == 1 else f"The {total:,} rows that were not imported:"
    return f"The first {shown:,} of {total:,} rows that were not imported; all are in the error CSV:"


def _error(log: Document) -> tuple[object, ...]:
    # The cells of the row are left out: they are the tenant's data.
    return (log["position"], log["line"], log["column"], log["code"], log["additional_info"])


def shown_preview(screen: Screen, found: ImportPreview) -> None:
    """Print how the file is read and what its first rows become."""
    mapped = ", ".join(f"{column} → {target}" for column, target in found.mapping.items())
    unmapped = ", ".join(repr(column) for column in found.columns if column not in found.mapping)
    screen.facts([("import", found.queue), ("file read as", found.dialect)])
    screen.facts([("mapping", mapped), ("not imported", unmapped), ("would be refused", found.refusal)])
    screen.facts(("warning", warning) for warning in found.warnings)
    if found.refusal:
        return
    targets = [target for target in found.mapping.values() if target != "stage_id"]
    columns = ["row", "line", "stage", *targets, "error"]
    rows = [(row.row, row.line, row.stage, *_values(row.fields, targets), row.error) for row in found.rows]
    screen.table(columns, rows)
    screen.line("Nothing was imported: these are the first rows of the file as it is now.")


def _values(fields: Document, targets: Sequence[str]) -> list[object]:
    every = {**fields, **fields.get("additional_info", {})}
    return [every.get(target) for target in targets]


def _file(queue: Document) -> Document:
    return next(iter(queue.get("csv") or []), {})


def _status(queue: Document) -> str:
    asked = queue.get("cancel_requested") and queue["status"] in ("pending", "processing")
    return f"{queue['status']}, to be cancelled" if asked else str(queue["status"])
