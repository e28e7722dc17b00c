"""`imports show`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_engine.app import App
from pipeline_engine.cli import session
from pipeline_engine.cli.imports.import_id import ImportId
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.imports.control import look_up
from pipeline_engine.ids import object_id

FIRST = 10
COLUMNS = ("row", "line", "column", "code", "why")

Document = Mapping[str, Any]


def command(id: ImportId) -> None:
    """Status, figures, how the file was read, the first errors and where all of them are."""
    import_id = read_id(id)

    async def work(app: App) -> tuple[Document, Document | None]:
        queue = await look_up(app, import_id)
        account_id = object_id(queue.get("account_id"))
        return queue, await app.csv_imports.of_import(account_id, import_id) if account_id else None

    queue, report = session.with_app(work)
    screen = Screen()
    screen.facts(_facts(queue))
    logs = (report or {}).get("logs", [])
    if logs:
        screen.line()
        screen.line(f"The first {min(FIRST, len(logs))} errors:")
        screen.table(COLUMNS, map(_error, logs[:FIRST]))


def _error(log: Document) -> tuple[object, ...]:
    # No cell of the file is among them.
    return (log["position"], log["line"], log["column"], log["code"], log["additional_info"])


def _facts(queue: Document) -> list[tuple[str, object]]:
    options = queue.get("additional_data") or {}
    file: Mapping[str, Any] = next(iter(queue.get("csv") or []), {})
    words = ("attempts", "started_at", "completed_at", "error", "error_csv_key")
    figures = (queue.get("progress") or {}).items()
    return [
        ("id", queue["_id"]),
        ("status", _status(queue)),
        ("account", queue.get("account_id")),
        ("user", queue.get("user_id")),
        ("pipeline", options.get("pipeline_id")),
        ("file", file.get("name")),
        ("key", file.get("key")),
        ("dialect", ", ".join(f"{name} {value!r}" for name, value in (queue.get("dialect") or {}).items())),
        *((name.replace("_", " "), value) for name, value in figures),
        *((name.replace("_", " "), queue.get(name)) for name in words),
        *(("warning", warning) for warning in (queue.get("plan") or {}).get("warnings", [])),
    ]


def _status(queue: Document) -> str:
    asked = queue.get("cancel_requested") and queue["status"] in ("pending", "processing")
    return f"{queue['status']}, to be cancelled" if asked else str(queue["status"])
