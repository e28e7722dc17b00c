"""`funnels list`"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipeline_engine.cli import session
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.funnels.control import status_of

COLUMNS = ("id", "status", "account", "name", "steps", "done", "images", "forms", "runs failed", "error")


def command(
    account: Annotated[str | None, typer.Option(metavar="ID", help="Only this account's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
) -> None:
    """The latest clones."""
    account_id = read_id(account, "--account") if account else None
    found = session.with_app(lambda app: app.funnels.latest(limit, account_id))
    Screen().table(COLUMNS, map(_row, found))


def _row(funnel: Mapping[str, Any]) -> tuple[object, ...]:
    clone = funnel.get("clone") or {}
    figures = (clone.get(name) for name in ("steps_total", "steps_done", "images", "forms", "attempts"))
    who = (funnel["_id"], status_of(funnel), funnel.get("account_id"), funnel.get("name"))
    return (*who, *figures, clone.get("error"))
