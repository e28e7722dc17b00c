"""Mailboxes: whether they are read in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from pymongo.errors import PyMongoError

from pipeline_engine import ids, logs
from pipeline_engine.app import open_mongo
from pipeline_engine.cli.doctor.finding import Finding
from pipeline_engine.clock import Clock
from pipeline_engine.errors import EngineError
from pipeline_engine.repos.lease import Lease
from pipeline_engine.repos.mailbox_repos import MailboxRepos
from pipeline_engine.repos.server import Server
from pipeline_engine.repos.store import Store
from pipeline_engine.settings import Settings

SUBJECT = "mailboxes"
MAX_SHOWN = 5
LATE_INTERVALS = 3
"""A mailbox that was not read for so many intervals is late."""


async def check(settings: Settings) -> list[Finding]:
    """A warning for every mailbox that cannot be read or is late. Nothing while MongoDB is away, of which another check
    speaks, or with the system switched off."""
    if not settings.qm_crm_jobs:
        return []
    try:
        async with AsyncExitStack() as stack:
            database, clock = await open_mongo(settings, stack), Clock()
            await clock.follow(Server(database).now)
            repos = MailboxRepos.open(Store(database, Lease(ids.daemon_id(), settings.lease_seconds), clock, settings))
            late = clock.now() - timedelta(seconds=settings.email_sync_seconds * LATE_INTERVALS)
            found = await repos.email_accounts.troubled(late)
            parked = await repos.email_parked.count_parked()
    except (EngineError, PyMongoError):
        return []
    return [*troubled(found), *_parked(parked)]


def troubled(found: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """A line for each of the first few mailboxes that are not read, and how many more there are. Pure."""
    if not found:
        return [Finding.ok(SUBJECT, "all are read in time")]
    lines = [Finding.warning(SUBJECT, _text(one)) for one in found[:MAX_SHOWN]]
    rest = len(found) - MAX_SHOWN
    return [*lines, *([Finding.warning(SUBJECT, f"{rest} more: see `mail list`")] if rest > 0 else [])]


def _text(mailbox: Mapping[str, Any]) -> str:
    who = f"{mailbox['_id']} of account {mailbox.get('account_id')}"
    if mailbox.get("failures"):
        return f"{who} is not read: {logs.clean(str(mailbox.get('last_error')))}"
    return f"{who} is late: is a daemon running? see `mail show {mailbox['_id']}`"


def _parked(count: int) -> list[Finding]:
    text = f"{count} messages could not be read: `mail list` and `mail show ID` say which and why"
    return [Finding.warning(SUBJECT, text)] if count else []
