"""`doctor`: one line for everything that must be right.

finding.py    what a check found
settings.py   the settings together       mongo.py   MongoDB and the work in it
jobs.py       late slots                  services.py   Redis, S3, sockets
mail.py       unsubscribing, SPF, DKIM, DMARC
mailboxes.py  mailboxes that are not read
"""

from __future__ import annotations

import asyncio

import typer

from pipeline_engine import logs
from pipeline_engine.cli import session
from pipeline_engine.cli.doctor import jobs, mail, mailboxes, mongo, services, settings
from pipeline_engine.cli.doctor.finding import Finding, Level
from pipeline_engine.cli.screen import Screen
from pipeline_engine.errors import ConfigError
from pipeline_engine.settings import Settings

CHECKS = (
    mongo.check,
    jobs.check,
    mailboxes.check,
    services.check_redis,
    services.check_s3,
    services.check_sockets,
    mail.check,
)
STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "bold red"}


def command() -> None:
    """Check settings, servers, indexes, clock and stuck work. Exit code 1: a line says `fails`."""
    findings = _findings()
    screen = Screen()
    for finding in findings:
        screen.line(f"{finding.level.value:<8}{finding.subject:<14}{logs.clean(finding.text)}", STYLES[finding.level])
    if any(finding.level is Level.FAILURE for finding in findings):
        raise typer.Exit(session.FAILED)


def _findings() -> list[Finding]:
    try:
        configured = session.configured(log_level="ERROR")
    except ConfigError as error:
        return [Finding.failure("settings", line) for line in str(error).splitlines()]
    return [*settings.check(configured), *asyncio.run(_check_servers(configured))]


async def _check_servers(configured: Settings) -> list[Finding]:
    """All servers at the same time, so that a server that hangs does not delay the checks of the others."""
    found = await asyncio.gather(*(check(configured) for check in CHECKS))
    return [finding for findings in found for finding in findings]
