"""What an operator sees of a mailbox and asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from pipeline_engine.app import App
from pipeline_engine.errors import Permanent
from pipeline_engine.repos.client import Document
from pipeline_engine.repos.email_parked import PARKED
from pipeline_engine.repos.mailbox_repos import MailboxRepos

MISSING = "missing_mailbox"


@dataclass(frozen=True)
class MailboxReport:
    """A mailbox, how many messages of it are stored and left out ({state: count}), and the newest that are parked."""

    mailbox: Mapping[str, Any]
    messages: int
    left_out: Mapping[str, int]
    parked: Sequence[Mapping[str, Any]]


async def look_up(app: App[MailboxRepos], id: ObjectId, limit: int) -> MailboxReport:
    """What is stored about the mailbox. Raises: Permanent MISSING."""
    mailbox = await _mailbox(app, id)
    repos = app.repos
    return MailboxReport(
        mailbox,
        await repos.email_messages.count(mailbox),
        await repos.email_parked.counts(mailbox),
        await repos.email_parked.latest(mailbox, PARKED, limit),
    )


async def ask(app: App[MailboxRepos], id: ObjectId, what: str) -> Document:
    """Have the next pass, which is due at once, do a `resync` or a `reconcile`. Returns the mailbox.

    Raises: Permanent MISSING, or when the mailbox is switched off.
    """
    mailbox = await _mailbox(app, id)
    if mailbox.get("active") is not True:
        raise Permanent(f"mailbox {id} is switched off: its `active` is not true", "mailbox_off")
    await app.repos.email_accounts.ask(id, what)
    return mailbox


async def _mailbox(app: App[MailboxRepos], id: ObjectId) -> Document:
    if mailbox := await app.repos.email_accounts.get(id):
        return mailbox
    raise Permanent(f"there is no mailbox {id}", MISSING)
