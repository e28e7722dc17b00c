"""`forecast`: what the daemons will do by themselves."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Annotated

import typer

from pipeline_engine.cli.arguments import Account, AsJson, read_account
from pipeline_engine.cli.daemons import ask
from pipeline_engine.cli.screen import Screen, json_line
from pipeline_engine.domain.automations.forecast import Forecast, forecast
from pipeline_engine.errors import ConfigError
from pipeline_engine.repos.automation_repos import AutomationRepos

COLUMNS = ("at (UTC)", "account", "automation", "type", "deal", "entered (UTC)", "why then")

program = typer.Typer(help="What the daemons will do, and when. Changes nothing.")


@program.callback()
def group() -> None:
    """What the daemons will do, and when. Changes nothing."""


@program.command()
def automations(
    hours: Annotated[float, typer.Option(min=0, max=24 * 366, help="How far ahead.")] = 24,
    account: Account = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the next ones first.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Which automation will fire for which deal, and when."""
    if math.isnan(hours):
        raise ConfigError(f"--hours: given {hours}: a number of hours is wanted")
    account_id = read_account(account)
    found = ask(lambda app: forecast(app.with_repos(AutomationRepos.open), timedelta(hours=hours), account_id, limit))
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
    count = f"{len(found.firings)} until {found.until:%Y-%m-%d %H:%M:%S} UTC"
    return f"{count}; there is more: a higher --limit shows it" if found.cut else count
