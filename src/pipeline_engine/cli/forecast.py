"""`forecast`: what will happen by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from pipeline_engine.cli.ask import ask
from pipeline_engine.cli.json_line import json_line
from pipeline_engine.cli.object_id import read_id
from pipeline_engine.cli.screen import Screen
from pipeline_engine.domain.automations.forecast import Forecast, forecast

COLUMNS = ("at (UTC)", "account", "automation", "type", "deal", "entered (UTC)", "why then")

program = typer.Typer(help="What will happen by itself, and when; nothing is done.")


@program.callback()
def group() -> None:
    """What will happen by itself, and when; nothing is done."""


@program.command()
def automations(
    hours: Annotated[float, typer.Option(min=0, max=24 * 366, help="How far ahead.")] = 24,
    account: Annotated[str | None, typer.Option(metavar="ID", help="Only this account's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the next ones first.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Which automation will fire for which deal, and when, as things stand now."""
    account_id = read_id(account, "--account") if account else None
    found = ask(lambda app: forecast(app, timedelta(hours=hours), account_id, limit))
    if as_json:
        typer.echo(json_line(found))
        return
    screen = Screen()
    if found.firings:
        rows = [
            (one.at, one.account, one.automation, one.type, one.deal, one.entered, one.why) for one in found.firings
        ]
        screen.table(COLUMNS, rows)
    screen.line(_summary(found))


def _summary(found: Forecast) -> str:
    told = f"{len(found.firings)} until {found.until:%Y-%m-%d %H:%M:%S} UTC"
    return f"{told}; there is more: a higher --limit shows it" if found.cut else told
