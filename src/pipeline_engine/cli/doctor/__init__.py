"""`doctor`: one line per thing that must be right.

finding.py   what a check found     settings.py mongo.py redis.py storage.py socket_service.py   the checks
"""

from __future__ import annotations

import asyncio

import typer

from pipeline_engine import logs
from pipeline_engine.cli import session
from pipeline_engine.cli.doctor import mongo, redis, settings, socket_service, storage
from pipeline_engine.cli.doctor.finding import Finding, Level
from pipeline_engine.cli.screen import Screen
from pipeline_engine.errors import ConfigError
from pipeline_engine.settings import Settings

SERVERS = (mongo.check, redis.check, storage.check, socket_service.check)
STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILURE: "bold red"}


def command() -> None:
    """Check settings, servers, indexes, clocks and stuck work. Exit code 1: something fails; warnings are none."""
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
    return [*settings.check(configured), *asyncio.run(_ask_servers(configured))]


async def _ask_servers(configured: Settings) -> list[Finding]:
    """All at once: one that is away keeps nobody waiting for the others."""
    answers = await asyncio.gather(*(check(configured) for check in SERVERS))
    return [finding for answer in answers for finding in answer]
