"""`imports list`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipeline_engine.cli import session
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.screen import Screen

COLUMNS = ("id", "status", "account", "file", "rows", "added", "failed", "created", "error")


def command(
    account: Annotated[str | None, typer.Option(metavar="ID", help="Only this account's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
) -> None:
    """The latest imports."""
    account_id = read_id(account, "--account") if account else None
    found = session.with_app(lambda app: app.imports.latest(limit, account_id))
    Screen().table(COLUMNS, map(_row, found))


def _row(queue: Mapping[str, Any]) -> tuple[object, ...]:
    progress = queue.get("progress") or {}
    figures = (progress.get(name) for name in ("rows_read", "rows_added", "rows_failed"))
    file: Mapping[str, Any] = next(iter(queue.get("csv") or []), {})
    created = queue.get("createdAt") or queue["_id"].generation_time
    who = (queue["_id"], queue["status"], queue.get("account_id"), file.get("name"))
    return (*who, *figures, created, queue.get("error"))
